package gateway_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/metrics"
)

// explosive is a protocol that panics if a frame or a message says so.
type explosive struct{ words }

func (e explosive) Decode(f gateway.Frame) ([]gateway.Command, error) {
	if strings.HasPrefix(string(f.Data), "explode") {
		panic("decode")
	}
	return e.words.Decode(f)
}

func (e explosive) Encode(event gateway.Event) (gateway.Frame, error) {
	if m, ok := event.(gateway.Message); ok && string(m.Payload) == "explode" {
		panic("encode")
	}
	return e.words.Encode(event)
}

// brittle is a connection that panics when a message that says so is written.
type brittle struct{ *peer }

func (b brittle) Write(frames [][]byte, wait time.Duration) ([][]byte, error) {
	for _, frame := range frames {
		if strings.HasPrefix(string(frame), "message fragile explode") {
			panic("write")
		}
	}
	return b.peer.Write(frames, wait)
}

func startWalled(t *testing.T, c gateway.Config) (n *node, panics func() float64) {
	c.Metrics = metrics.New("")
	return startNode(t, c), func() float64 {
		families, err := c.Metrics.Gatherer().Gather()
		must(t, err)
		for _, family := range families {
			if family.GetName() == "tidegate_panics_total" {
				return family.GetMetric()[0].GetCounter().GetValue()
			}
		}
		t.Fatal("there is no tidegate_panics_total")
		return 0
	}
}

// stillWorks checks that the node still serves others.
func (n *node) stillWorks(p *peer) {
	p.t.Helper()
	before := len(p.heardOf("calm"))
	n.publish("calm", "alive")
	p.until("a message after the panic", func() bool { return len(p.heardOf("calm")) > before })
}

func TestWall_APanicInDecodeEndsThatSessionOnly(t *testing.T) {
	var log lines
	n, panics := startWalled(t, gateway.Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
	bad := n.connect(gateway.Hello{Protocol: explosive{words{"explosive"}}, Principal: gateway.Principal{User: "mallory"}, Remote: "192.0.2.7:5000"})
	good := n.connect(gateway.Hello{})
	good.subscribe("calm")
	bad.send("explode")
	if reason := bad.expectClosed(); reason.Label != gateway.Failed.Label {
		t.Errorf("closed with %+v", reason)
	}
	n.stillWorks(good)
	if panics() != 1 {
		t.Errorf("counted %v panics", panics())
	}
	eventually(t, "the log to say whose session it was", func() bool {
		return log.have(`level=ERROR msg="session closed"`, "user=mallory", "remote=192.0.2.7:5000", "reason=internal")
	})
}

// lines is a log. All methods are safe for concurrent use.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(word string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), word)
}

// have reports whether one of the lines contains all the words.
func (l *lines) have(words ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for one := range strings.Lines(l.text.String()) {
		if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(one, word) }) {
			return true
		}
	}
	return false
}

func TestWall_APanicInEncodeEndsTheSessionsOfThatProtocolOnly(t *testing.T) {
	n, panics := startWalled(t, gateway.Config{})
	bad, good := n.connect(gateway.Hello{Protocol: explosive{words{"explosive"}}}), n.connect(gateway.Hello{})
	for _, p := range []*peer{bad, good} {
		p.subscribe("room")
	}
	good.subscribe("calm")
	n.publish("room", "explode")
	if reason := bad.expectClosed(); reason.Label != gateway.Failed.Label {
		t.Errorf("closed with %+v", reason)
	}
	good.expect("message room explode")
	n.stillWorks(good)
	if panics() == 0 {
		t.Error("the panic was not counted")
	}
}

func TestWall_APanicInWriteEndsThatSessionOnly(t *testing.T) {
	n, panics := startWalled(t, gateway.Config{})
	good := n.listen("calm")
	good.subscribe("fragile")

	bad := newPeer(t)
	session, err := n.Open(t.Context(), gateway.Hello{Protocol: words{"words"}, Commands: []gateway.Command{gateway.Subscribe{Channel: "fragile"}}})
	must(t, err)
	served := make(chan gateway.Reason, 1)
	go func() { served <- serve(t.Context(), session, brittle{bad}) }()
	n.publish("fragile", "explode")
	if reason := bad.expectClosed(); reason.Label != gateway.Failed.Label {
		t.Errorf("closed with %+v", reason)
	}
	<-served
	good.expect("message fragile explode")
	n.stillWorks(good)
	if panics() != 1 {
		t.Errorf("counted %v panics", panics())
	}
}

// touchy is a broker whose history panics while told to.
type touchy struct{ *lossy }

func (b touchy) Since(ctx context.Context, channel string, after broker.Position, most broker.Most) (broker.Page, error) {
	if b.away.Load() {
		panic("since")
	}
	return b.lossy.Since(ctx, channel, after, most)
}

func (b touchy) Tops(ctx context.Context, channels []string) ([]broker.Top, error) {
	if b.away.Load() {
		panic("tops")
	}
	return b.lossy.Tops(ctx, channels)
}

func TestWall_APanicOfTheBrokersHistoryEndsWhoAskedAndIsOverWithIt(t *testing.T) {
	b := touchy{newLossy()}
	n, panics := startWalled(t, gateway.Config{Broker: b, History: b})
	good := n.listen("calm")

	b.away.Store(true)
	bad := n.connect(gateway.Hello{})
	bad.send("sub other")
	bad.expectClosed()
	n.stillWorks(good)
	if panics() == 0 {
		t.Error("the panic was not counted")
	}

	b.losing.Store(true)
	n.publish("calm", "lost")
	b.losing.Store(false)
	n.publish("calm", "shows the gap") // reveals the gap; the repair panics
	b.away.Store(false)
	good.until("what was lost", func() bool { return len(good.heardOf("calm")) == 3 })
}

// touchyTracer is a Tracer that panics when it is to follow a message.
type touchyTracer struct{}

func (touchyTracer) Publish(_ *gateway.Principal, _, parent string) (string, func(error)) {
	return parent, func(error) {}
}

func (touchyTracer) Deliver(*broker.Message, time.Time) func(gateway.Delivered) { panic("deliver") }

func TestWall_WhatAPanicKeepsFromAnAudienceIsTold(t *testing.T) {
	for name, lost := range map[string]bool{"live": false, "repaired": true} {
		t.Run(name, func(t *testing.T) {
			b := newLossy()
			n, panics := startWalled(t, gateway.Config{Broker: b, History: b, Tracer: touchyTracer{}})
			good := n.listen("calm")
			n.publish("calm", "1")
			b.losing.Store(lost)
			_, err := n.Publish(t.Context(), &backend, gateway.Publish{Channel: "calm", Payload: []byte("2"), Kind: broker.Text, Trace: "cause"})
			must(t, err)
			b.losing.Store(false)
			n.publish("calm", "3")
			good.expect("gap calm")
			n.stillWorks(good)
			if panics() != 1 {
				t.Errorf("counted %v panics", panics())
			}
		})
	}
}

func TestWall_APanicOfTheBackendsHookEndsThatSessionOnly(t *testing.T) {
	n, panics := startWalled(t, gateway.Config{Hooks: panickingHooks{gateway.OnPublish}})
	bad := n.connect(gateway.Hello{})
	good := n.connect(gateway.Hello{Principal: gateway.Principal{Key: "backend"}})
	good.subscribe("calm")
	bad.send("pub calm hello")
	bad.expectClosed()
	n.stillWorks(good)
	if panics() != 1 {
		t.Errorf("counted %v panics", panics())
	}
}

// A session whose opening panics holds nothing: its id, its room and its place are free again.
func TestWall_APanicWhileASessionOpensLeavesNoneBehind(t *testing.T) {
	n, panics := startWalled(t, gateway.Config{Hooks: panickingHooks{gateway.OnConnect}, Limits: gateway.Limits{Sessions: 1}})
	room := new(roomForOne)
	for range 2 {
		_, err := n.Open(t.Context(), gateway.Hello{Protocol: words{"words"}, Session: "s1", Room: room})
		wantCode(t, gateway.ErrorOf(err), gateway.Internal)
	}
	if panics() != 2 {
		t.Errorf("counted %v panics", panics())
	}
	n.connect(gateway.Hello{Principal: backend, Session: "s1", Room: room}).send("ping")
}

// roomForOne is a gateway.Room for one session.
type roomForOne struct{ taken bool }

func (r *roomForOne) Take() error {
	if r.taken {
		return errors.New("there is no room")
	}
	r.taken = true
	return nil
}

func (r *roomForOne) Give() { r.taken = false }

func TestWall_APublishThatPanicsHoldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, panics := startWalled(t, gateway.Config{Hooks: panickingHooks{gateway.OnPublish}, Limits: gateway.Limits{InboundBytes: 1000}})
		for range 3 {
			bad := n.connect(gateway.Hello{})
			bad.send("pub calm %s", strings.Repeat("x", 600))
			bad.expectClosed()
			synctest.Wait() // the session ends first
		}
		if panics() != 3 {
			t.Errorf("counted %v panics, want one of each client", panics())
		}
		_, err := n.Publish(t.Context(), &gateway.Principal{User: "alice"}, gateway.Publish{Channel: "calm", Payload: []byte("1")})
		wantCode(t, gateway.ErrorOf(err), gateway.Internal)
	})
}

func TestWall_ASubscribeThatPanicsHoldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, _ := startWalled(t, gateway.Config{Hooks: panickingHooks{gateway.OnSubscribe}, Limits: gateway.Limits{InboundBytes: 800}})
		bad := n.connect(gateway.Hello{})
		bad.send("sub calm")
		bad.expectClosed()
		synctest.Wait()
		must(t, n.Budget.Hold(n.Budget.Payer(&gateway.Principal{}, ""), 700))
	})
}

// panickingHooks panic when asked about an event.
type panickingHooks struct{ event gateway.HookEvent }

func (h panickingHooks) Wants(event gateway.HookEvent) bool { return event == h.event }

func (panickingHooks) Ask(context.Context, *gateway.Question) error { panic("ask") }

func (panickingHooks) Tell(context.Context, []gateway.Notice) error { return nil }
