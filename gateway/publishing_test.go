package gateway_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"tidegate/broker"
	"tidegate/gateway"
)

// silent is a broker that answers publishes only when told to.
type silent struct {
	*broker.Memory
	receiver broker.Receiver
	due      chan func(error)
}

func startSilent(t *testing.T) (*node, *silent) {
	s := &silent{Memory: broker.NewMemory(), due: make(chan func(error), 1000)}
	return startNode(t, gateway.Config{Broker: s}), s
}

func (s *silent) Run(ctx context.Context, r broker.Receiver) error {
	s.receiver = r
	return s.Memory.Run(ctx, r)
}

func (s *silent) Publish(m broker.Message, o broker.PublishOptions, done func(broker.Position, error)) {
	if strings.Contains(m.Channel, " ") { // messages between nodes
		s.Memory.Publish(m, o, done)
		return
	}
	s.due <- func(err error) {
		defer s.receiver.Rest()
		if err != nil {
			done(broker.Position{}, err)
			return
		}
		s.Memory.Publish(m, o, done)
	}
}

func TestSession_PublishesDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := startSilent(t)
		p := n.listen("a")
		for i := range 3 {
			p.send("pub a %d", i)
		}
		synctest.Wait()
		if got := len(s.due); got != 3 {
			t.Fatalf("%d publishes are at the broker, want 3", got)
		}
		for range 3 {
			(<-s.due)(nil)
		}
		synctest.Wait()
		if got := p.heardOf("a"); !slices.Equal(got, []string{"0", "1", "2"}) {
			t.Errorf("heard %q", got)
		}
		if got := count(p.lines(), "published a"); got != 3 {
			t.Errorf("%d publishes were confirmed, want 3", got)
		}
	})
}

func TestSession_WhatIsNoPublishWaitsForThem(t *testing.T) {
	for _, command := range []string{"ping", "sub a", "unsub b", "history a"} {
		synctest.Test(t, func(t *testing.T) {
			n, s := startSilent(t)
			p := n.connect(gateway.Hello{})
			p.send("pub a 1")
			p.send("%s", command)
			synctest.Wait()
			before := len(p.lines())
			(<-s.due)(nil)
			synctest.Wait()
			if got := p.lines()[before:]; len(got) < 2 || got[0] != "published a" {
				t.Errorf("%s: heard %q, want the publish's confirmation and then an answer", command, got)
			}
		})
	}
}

func TestSession_UnconfirmedPublishIsToldAndTheNextOneGoesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := startSilent(t)
		p := n.connect(gateway.Hello{})
		p.send("pub a 1")
		p.send("pub a 2")
		(<-s.due)(broker.ErrUnavailable)
		(<-s.due)(nil)
		synctest.Wait()
		if got := p.lines()[1:]; !slices.Equal(got, []string{"error unavailable", "published a"}) {
			t.Errorf("heard %q", got)
		}
	})
}

func TestSession_PublishesOnTheirWayAreBounded(t *testing.T) {
	const most, mostBytes = 64, 256 << 10
	for _, size := range []int{1, 40 << 10} {
		synctest.Test(t, func(t *testing.T) {
			n, s := startSilent(t)
			p := n.connect(gateway.Hello{})
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				for range 2 * most {
					p.send("pub a %s", strings.Repeat("x", size))
				}
			}()
			want := min(most, mostBytes/size)
			synctest.Wait()
			if got := len(s.due); got != want {
				t.Errorf("%d publishes of %d bytes are on their way, want %d", got, size, want)
			}
			(<-s.due)(nil)
			synctest.Wait()
			if got := len(s.due); got != want {
				t.Errorf("%d after one was answered, want %d", got, want)
			}
			for range 2*most - 1 {
				(<-s.due)(nil)
			}
			<-sent
			p.expect("published a")
		})
	}
}

func TestSession_EndsWhilePublishesAreOnTheirWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := startSilent(t)
		listener := n.listen("a")
		p := n.connect(gateway.Hello{})
		for i := range 5 {
			p.send("pub a %d", i)
		}
		p.Close(gateway.Lost, nil)
		synctest.Wait()
		for range 5 {
			(<-s.due)(nil)
		}
		synctest.Wait()
		if got, want := fmt.Sprint(listener.heardOf("a")), "[0 1 2 3 4]"; got != want {
			t.Errorf("the listener heard %s, want %s", got, want)
		}
	})
}
