package gateway_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"tidegate/broker"
	"tidegate/broker/brokertest"
	"tidegate/gateway"
)

// startHistoryNode returns a node of a cluster that shares one Redis.
func startHistoryNode(t *testing.T, server *brokertest.RedisServer) *node {
	t.Helper()
	redis, err := broker.NewRedis(broker.RedisConfig{URL: server.URL()})
	must(t, err)
	return startNode(t, gateway.Config{Broker: redis, History: redis})
}

func TestClearHistory_NoNodeBringsItToWhoResumes(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	nodes := []*node{startHistoryNode(t, server), startHistoryNode(t, server)}
	var live []*peer
	for _, n := range nodes {
		live = append(live, n.listen("a"))
	}
	from := nodes[0].publish("a", "1")
	nodes[0].publish("a", "2")
	for _, p := range live {
		p.until("both messages", func() bool { return len(p.heardOf("a")) == 2 })
	}
	must(t, nodes[0].ClearHistory(t.Context(), "a"))
	var back []*peer
	for _, n := range nodes {
		p := n.connect(gateway.Hello{})
		p.send("sub a %s", from)
		p.expect("subscribed a recovered=false")
		back = append(back, p)
	}
	nodes[1].publish("a", "3")
	for _, p := range back {
		p.until("a message", func() bool { return len(p.heardOf("a")) > 0 })
		if got := p.heardOf("a"); !slices.Equal(got, []string{"3"}) {
			t.Errorf("who resumed heard %q", got)
		}
	}
	for _, p := range live {
		p.until("a message", func() bool { return len(p.heardOf("a")) > 2 })
		if got := p.heardOf("a"); !slices.Equal(got, []string{"1", "2", "3"}) || count(p.lines(), "gap") > 0 {
			t.Errorf("who was there heard %q", p.lines())
		}
	}
}

// tardy is a history whose reads take long.
type tardy struct {
	*broker.Memory
	hold atomic.Bool
	pass chan struct{}
}

func (h *tardy) Since(ctx context.Context, channel string, after broker.Position, most broker.Most) (broker.Page, error) {
	page, err := h.Memory.Since(ctx, channel, after, most)
	if h.hold.Load() {
		<-h.pass
	}
	return page, err
}

func TestClearHistory_WhatIsJustBeingReadIsForgottenToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &tardy{Memory: broker.NewMemory(), pass: make(chan struct{})}
		n := startNode(t, gateway.Config{Broker: h, History: h})
		from := n.publish("a", "1")
		n.publish("a", "2")
		p := n.connect(gateway.Hello{})
		h.hold.Store(true)
		p.send("sub a %s", from)
		synctest.Wait()
		h.hold.Store(false)
		must(t, n.ClearHistory(t.Context(), "a"))
		close(h.pass)
		p.expect("subscribed a recovered=false")
		synctest.Wait()
		if got := p.heardOf("a"); len(got) > 0 {
			t.Errorf("heard %q", got)
		}
	})
}

// late is a broker that holds back what it is told to.
type late struct {
	*broker.Memory
	hold atomic.Bool
	held []broker.Message
	to   broker.Receiver
}

func (b *late) Run(ctx context.Context, r broker.Receiver) error {
	b.to = r
	return b.Memory.Run(ctx, lateReceiver{r, b})
}

type lateReceiver struct {
	broker.Receiver
	broker *late
}

func (r lateReceiver) Receive(m broker.Message) {
	if m.Channel == "a" && r.broker.hold.Load() {
		r.broker.held = append(r.broker.held, m)
		return
	}
	r.Receiver.Receive(m)
}

func TestClearHistory_WhatComesLateIsForgottenToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &late{Memory: broker.NewMemory()}
		n := startNode(t, gateway.Config{Broker: b, History: b})
		live := n.listen("a")
		from := n.publish("a", "1")
		b.hold.Store(true)
		n.publish("a", "2")
		must(t, n.ClearHistory(t.Context(), "a"))
		for _, m := range b.held {
			b.to.Receive(m)
		}
		b.to.Rest()
		p := n.connect(gateway.Hello{})
		p.send("sub a %s", from)
		p.expect("subscribed a recovered=false")
		synctest.Wait()
		if got := p.heardOf("a"); len(got) > 0 {
			t.Errorf("who resumed heard %q", got)
		}
		if got := live.heardOf("a"); !slices.Equal(got, []string{"1", "2"}) {
			t.Errorf("who was there heard %q", got)
		}
	})
}
