package gateway_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/rules"
)

// turnstile is a broker whose subscribes to channels "room:…" wait to be let through; it
// refuses those in refuses.
type turnstile struct {
	broker.Broker
	pass    chan struct{} // lets one call through; closed: all
	refuses string

	mu         sync.Mutex
	calls      [][]string
	subscribed map[string]int
}

func newTurnstile() *turnstile {
	return &turnstile{Broker: broker.NewMemory(), pass: make(chan struct{}), subscribed: make(map[string]int)}
}

func (b *turnstile) Subscribe(ctx context.Context, channels ...string) error {
	if !strings.HasPrefix(channels[0], "room:") {
		return b.Broker.Subscribe(ctx, channels...)
	}
	b.mu.Lock()
	b.calls = append(b.calls, channels)
	b.mu.Unlock()
	<-b.pass
	let := slices.DeleteFunc(slices.Clone(channels), func(name string) bool { return name == b.refuses })
	if err := b.Broker.Subscribe(ctx, let...); err != nil {
		return err
	}
	b.count(let, 1)
	if len(let) < len(channels) {
		return broker.NotSubscribed{b.refuses: broker.ErrUnavailable}
	}
	return nil
}

func (b *turnstile) Unsubscribe(ctx context.Context, channel string) error {
	b.count([]string{channel}, -1)
	return b.Broker.Unsubscribe(ctx, channel)
}

func (b *turnstile) count(channels []string, by int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range channels {
		if b.subscribed[name] += by; b.subscribed[name] == 0 {
			delete(b.subscribed, name)
		}
	}
}

func (b *turnstile) made() [][]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.calls)
}

func (b *turnstile) rooms() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name := range b.subscribed {
		if strings.HasPrefix(name, "room:") {
			n++
		}
	}
	return n
}

// eventually polls until met returns true.
func eventually(t *testing.T, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !met(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

var roomRules = rules.List{{Match: "room:*", Subscribe: rules.Anyone, Publish: rules.Anyone}}

func TestSession_SubscribesThatWaitGoTogetherAndAreAnsweredInOrder(t *testing.T) {
	b := newTurnstile()
	b.refuses = "room:7"
	n := startNode(t, gateway.Config{Broker: b, Rules: roomRules, Limits: gateway.Limits{ChannelsPerSession: 40}})
	p := n.connect(gateway.Hello{})
	p.send("sub room:0")
	eventually(t, "the first subscribe", func() bool { return len(b.made()) == 1 })
	var want []string
	for i := range 45 {
		line := fmt.Sprintf("subscribed room:%d", i)
		switch {
		case i == 7:
			line = "error unavailable"
		case i == 20:
			line = "error unauthenticated"
			p.send("sub other")
		case i > 40:
			line = "error limit_exceeded"
		}
		if i > 0 && i != 20 {
			p.send("sub room:%d", i)
		}
		want = append(want, line)
	}
	p.send("ping") // read when all before it have been gathered
	close(b.pass)
	p.expect("pong")
	if got := p.lines()[1:]; !slices.Equal(got, append(want, "pong")) {
		t.Errorf("answered\n%q\nwant\n%q", got, want)
	}
	if calls := b.made(); len(calls) != 2 {
		t.Errorf("the broker was asked %d times, want once for the first and once for the others: %q", len(calls), calls)
	}
	n.publish("room:33", "hello")
	p.expect("message room:33 hello")
}

func TestSession_OtherCommandsWaitForItsSubscribes(t *testing.T) {
	b := newTurnstile()
	n := startNode(t, gateway.Config{Broker: b, Rules: roomRules})
	p := n.connect(gateway.Hello{})
	p.send("sub room:1")
	eventually(t, "the first subscribe", func() bool { return len(b.made()) == 1 })
	p.send("sub room:2")
	p.send("sub room:2 lost:7")
	p.send("unsub room:1")
	close(b.pass)
	p.send("sub room:1")
	p.send("pub room:1 hello")
	p.expect("message room:1 hello")
	p.expect("published")
	got := p.lines()
	want := []string{
		"subscribed room:1", "subscribed room:2", "subscribed room:2 recovered=false",
		"unsubscribed room:1 ", "subscribed room:1",
	}
	if len(got) < 6 || !slices.Equal(got[1:6], want) {
		t.Errorf("answered %q, want %q", got, want)
	}
}

func TestSession_TakenOffAChannelThatItSubscribesToTwice(t *testing.T) {
	b := newTurnstile()
	var n *node
	o := newOffice(func(q *gateway.Question) error {
		if q.Event == gateway.OnSubscribe && q.Channel == "room:2" {
			_, err := n.Users.Unsubscribe(context.Background(), gateway.Whose{User: "bob"}, "room:1")
			return err
		}
		return nil
	})
	n = startNode(t, gateway.Config{Broker: b, Rules: roomRules, Hooks: o})
	other := n.connect(gateway.Hello{})
	other.send("sub room:1")
	b.pass <- struct{}{}
	other.expect("subscribed room:1")
	p := n.connect(gateway.Hello{Principal: gateway.Principal{User: "bob"}})
	p.send("sub room:0")
	eventually(t, "bob's first subscribe", func() bool { return len(b.made()) == 2 })
	p.send("sub room:1") // the rest wait to be sent together
	p.send("sub room:2")
	p.send("sub room:1")
	close(b.pass)
	p.expect("subscribed room:2")
	p.expect("subscribed room:1")
	n.publish("room:1", "hello")
	p.expect("message room:1 hello")
}

// slowToLeave is a broker that lets no channel go before it is told to.
type slowToLeave struct {
	broker.Broker
	pass chan struct{}
}

func (b *slowToLeave) Unsubscribe(ctx context.Context, channel string) error {
	<-b.pass
	return b.Broker.Unsubscribe(ctx, channel)
}

// A client that hears of the end of its subscription later could have subscribed again meanwhile,
// and would take the new subscription for ended.
func TestSession_HearsOfTheEndOfASubscriptionBeforeTheBroker(t *testing.T) {
	b := &slowToLeave{broker.NewMemory(), make(chan struct{})}
	defer close(b.pass)
	n := startNode(t, gateway.Config{Broker: b, Rules: roomRules})
	p := n.connect(gateway.Hello{Principal: gateway.Principal{User: "bob"}})
	for i, end := range []func(){
		func() { p.send("unsub room:0") },
		func() {
			go func() { _, _ = n.Users.Unsubscribe(t.Context(), gateway.Whose{User: "bob"}, "room:1") }()
		},
		func() { go func() { _ = n.SetRules(rules.List{{Match: "chat"}}) }() },
	} {
		p.subscribe(fmt.Sprintf("room:%d", i))
		end()
		p.expect(fmt.Sprintf("unsubscribed room:%d", i))
		b.pass <- struct{}{}
	}
}

func TestSession_ThatEndsWhileItSubscribesLeavesNothing(t *testing.T) {
	b := newTurnstile()
	n := startNode(t, gateway.Config{Broker: b, Rules: roomRules})
	p := n.connect(gateway.Hello{})
	p.send("sub room:0")
	eventually(t, "the first subscribe", func() bool { return len(b.made()) == 1 })
	for i := range 50 {
		p.send("sub room:%d", i)
	}
	close(p.says)
	p.expectClosed() // while the others wait
	close(b.pass)
	n.stop() // waits for all background work
	if rooms := b.rooms(); rooms != 0 {
		t.Errorf("%d rooms are still subscribed", rooms)
	}
}

func TestSession_SubscribesOfManyOverlapInAnyOrder(t *testing.T) {
	const rooms, times = 50, 20
	n := startNode(t, gateway.Config{Rules: roomRules})
	var peers sync.WaitGroup
	for _, stride := range []int{1, 3, 7, 9, 11, 13, 17, 49} {
		p := n.connect(gateway.Hello{})
		peers.Go(func() {
			for range times {
				for k := range rooms {
					p.send("sub room:%d", k*stride%rooms)
				}
				for k := range rooms {
					p.send("unsub room:%d", k)
				}
			}
			p.send("ping")
			p.expect("pong")
			failed := slices.DeleteFunc(slices.Clone(p.lines()), func(line string) bool { return !strings.HasPrefix(line, "error") })
			if lines := len(p.lines()); len(failed) > 0 || lines != 2*rooms*times+2 {
				t.Errorf("%d lines, failures %q", lines, failed)
			}
		})
	}
	peers.Wait()
}

func TestGateway_OpensWithManyChannelsByOneCall(t *testing.T) {
	b := newTurnstile()
	close(b.pass)
	n := startNode(t, gateway.Config{Broker: b, Rules: roomRules})
	var commands []gateway.Command
	for i := range 20 {
		commands = append(commands, gateway.Subscribe{Channel: fmt.Sprint("room:", i)})
	}
	n.connect(gateway.Hello{Commands: commands})
	if calls := b.made(); len(calls) != 1 || len(calls[0]) != 20 {
		t.Errorf("the broker was asked for %q", calls)
	}
	b.refuses = "room:25"
	_, err := n.tryConnect(gateway.Hello{Commands: append(commands, gateway.Subscribe{Channel: "room:25"})})
	if code := gateway.ErrorOf(err).Code; code != gateway.Unavailable {
		t.Errorf("opened with a channel that is not subscribed: %v", err)
	}
}

func TestSession_SubscribesThatAskForMembersGoTogether(t *testing.T) {
	b := newTurnstile()
	n := startNode(t, gateway.Config{Broker: b, Rules: roomRules})
	p := n.connect(gateway.Hello{})
	p.send("submembers room:0")
	eventually(t, "the first subscribe", func() bool { return len(b.made()) == 1 })
	for i := range 5 {
		p.send("submembers room:%d", 1+i)
	}
	p.send("ping") // read when all before it have been gathered
	close(b.pass)
	p.expect("pong")
	if calls := b.made(); len(calls) != 2 {
		t.Errorf("the broker was asked %d times, want once for the first and once for the others: %q", len(calls), calls)
	}
}
