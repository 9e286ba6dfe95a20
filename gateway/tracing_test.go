package gateway_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/rules"
)

// notebook is a Tracer that records its calls.
type notebook struct {
	blind bool // it traces nothing; else, what has a parent

	mu    sync.Mutex
	lines []string
}

func (n *notebook) note(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
}

func (n *notebook) told() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return fmt.Sprint(n.lines)
}

func (n *notebook) Publish(p *gateway.Principal, channel, parent string) (string, func(error)) {
	if n.blind || parent == "" {
		return "", nil
	}
	n.note("publish on %s by %s of %s", channel, p.User, parent)
	return "of " + parent, func(err error) { n.note("published: %v", err) }
}

func (n *notebook) Deliver(m *broker.Message, received time.Time) func(gateway.Delivered) {
	if n.blind {
		return nil
	}
	return func(d gateway.Delivered) {
		n.note("%s %s: %d of %d after %v", m.Channel, m.Trace, d.Written, d.Sessions, d.At.Sub(received))
	}
}

// TestTracing_FollowsAMessageUntilTheLastSessionHasIt has one peer that reads at once, and one
// that reads a second later.
func TestTracing_FollowsAMessageUntilTheLastSessionHasIt(t *testing.T) {
	for name, test := range map[string]struct {
		rule      rules.Rule
		meanwhile func(n *node, slow *peer, resume func())
		want      string
	}{
		"all have it":    {rules.Rule{}, func(_ *node, _ *peer, resume func()) { resume() }, "a of x: 2 of 2 after 1s"},
		"with history":   {rules.Rule{HistorySize: 9}, func(_ *node, _ *peer, resume func()) { resume() }, "a of x: 2 of 2 after 1s"},
		"one has ended":  {rules.Rule{}, func(_ *node, slow *peer, _ func()) { slow.hangUp() }, "a of x: 1 of 2 after 0s"},
		"conflated":      {rules.Rule{Conflate: true}, func(_ *node, _ *peer, resume func()) { resume() }, "a of x: 2 of 2 after 1s"},
		"replaced":       {rules.Rule{Conflate: true}, func(n *node, _ *peer, _ func()) { n.publish("a", "newer") }, "a of x: 1 of 2 after 0s"},
		"without a word": {rules.Rule{Bare: true}, func(_ *node, _ *peer, resume func()) { resume() }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				test.rule.Match, test.rule.Subscribe, test.rule.Publish = "*", rules.Anyone, rules.Anyone
				book := &notebook{}
				n := startNode(t, gateway.Config{Rules: rules.List{test.rule}, Tracer: book})
				slow, fast := n.connectAs("", "a"), n.connectAs("", "a")
				resume := sync.OnceFunc(slow.stall())
				defer resume()
				n.publish("a", "stalls, and is traced by nobody") // no parent
				synctest.Wait()
				_, err := n.Publish(t.Context(), &gateway.Principal{User: "alice"}, gateway.Publish{Channel: "a", Payload: []byte("hello"), Kind: broker.Text, Trace: "x"})
				must(t, err)
				fast.expect("message a hello")
				time.Sleep(time.Second)
				test.meanwhile(n, slow, resume)
				time.Sleep(time.Minute)
				want := "[publish on a by alice of x published: <nil>"
				if test.want != "" {
					want += " " + test.want + "]"
				} else {
					want += "]"
				}
				if got := book.told(); got != want {
					t.Errorf("told %s\nwant %s", got, want)
				}
			})
		})
	}
}

func TestTracing_TellsWhyAPublishWasRefused(t *testing.T) {
	book := &notebook{}
	n := startNode(t, gateway.Config{Rules: explained, Tracer: book})
	_, err := n.Publish(t.Context(), &gateway.Principal{User: "alice"}, gateway.Publish{Channel: "news:a", Trace: "y"})
	if want := fmt.Sprintf("[publish on news:a by alice of y published: %v]", err); err == nil || book.told() != want {
		t.Errorf("told %s, want %s", book.told(), want)
	}
}

// TestTracing_CostsNothingWhereNobodyTraces checks that a Tracer that traces none of the
// messages causes no more allocations than no Tracer.
func TestTracing_CostsNothingWhereNobodyTraces(t *testing.T) {
	cost := func(tracer gateway.Tracer) float64 {
		n := startNode(t, gateway.Config{Tracer: tracer})
		p := n.connectAs("", "a")
		n.publish("a", "first")
		p.expect("message a first")
		return testing.AllocsPerRun(500, func() { n.publish("a", "again") })
	}
	without, blind := cost(nil), cost(&notebook{blind: true})
	if blind > without+1 {
		t.Errorf("%v allocations for each message with a tracer that traces none, %v without", blind, without)
	}
}
