package gateway_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/rules"
)

var shop = gateway.Principal{Key: "shop"}

func hello(channel string) gateway.Publish {
	return gateway.Publish{Channel: channel, Payload: []byte("hello"), Kind: broker.Text}
}

// fates returns the counts of a node's trace that are not 0.
func fates(n gateway.NodeTrace) string {
	text := fmt.Sprintf("listening=%d heard=%d", n.Listening, n.Heard)
	for _, count := range []struct {
		name string
		n    int
	}{{"written", n.Written}, {"waiting", n.Waiting}, {"conflated", n.Conflated}, {"skipped", n.Skipped}, {"unsaid", n.Unsaid}, {"ended", n.Ended}} {
		if count.n > 0 {
			text += fmt.Sprintf(" %s=%d", count.name, count.n)
		}
	}
	return text
}

func TestTrace_FollowsAMessageOnEveryNode(t *testing.T) {
	for name, rule := range map[string]rules.Rule{
		"with history": {Match: "*", HistorySize: 10}, "without": {Match: "*"}, "bare": {Match: "*", Bare: true},
	} {
		t.Run(name, func(t *testing.T) {
			rule.Subscribe = rules.Anyone
			members := startCluster(t, 3, gateway.Config{Rules: rules.List{rule}})
			for i, user := range []string{"alice", "bob", "bob"} {
				p := members[i%2].connect(gateway.Hello{Principal: gateway.Principal{User: user}})
				p.subscribe("a")
			}
			members[2].connect(gateway.Hello{Principal: gateway.Principal{User: "bob"}}).expect("welcome")
			got, err := members[2].Trace(t.Context(), &shop, hello("a"), gateway.TraceQuestion{User: "bob", Wait: patience})
			if err != nil || got.Error != nil || got.Node != "n2" || got.Took <= 0 || (got.Cursor == "") != (rule.HistorySize == 0) || !got.Publish.Allowed {
				t.Fatalf("%+v, %v", got, err)
			}
			var all []string
			for _, n := range got.Nodes {
				all = append(all, n.Node+" "+fates(n))
				for _, s := range n.Sessions {
					all = append(all, s.User+" "+s.Protocol+" "+string(s.Fate))
				}
			}
			want := "[n0 listening=2 heard=1 written=2 bob words written n1 listening=1 heard=1 written=1 bob words written n2 listening=0 heard=0 bob words not_on_channel]"
			if fmt.Sprint(all) != want {
				t.Errorf("%v, want %s", all, want)
			}
		})
	}
}

func TestTrace_SaysWhichRuleRefused(t *testing.T) {
	n := startNode(t, gateway.Config{Rules: explained})
	got, err := n.Trace(t.Context(), &gateway.Principal{User: "alice"}, hello("news:a"), gateway.TraceQuestion{})
	if err != nil || got.Error == nil || got.Error.Code != gateway.Forbidden || got.Publish.Allowed || got.Publish.Why == "" || len(got.Nodes) > 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

// The slow peer does not read. Its message waits, is replaced by a newer one, comes again, or
// is never written because the session ends.
func TestTrace_TellsWhoDidNotGetIt(t *testing.T) {
	for _, test := range []struct {
		name      string
		rule      rules.Rule
		meanwhile func(n *node, slow *peer)
		want      string
	}{
		{"waits", rules.Rule{}, func(*node, *peer) {}, "listening=2 heard=1 written=1 waiting=1"},
		{"conflated", rules.Rule{Conflate: true}, func(n *node, _ *peer) { n.publish("a", "newer") }, "listening=2 heard=1 written=1 conflated=1"},
		{"comes again", rules.Rule{Bare: true}, func(n *node, _ *peer) {
			for range 3 {
				n.publish("a", "hello")
			}
		}, "listening=2 heard=4 written=1 waiting=1"},
		{"ended", rules.Rule{}, func(_ *node, slow *peer) { slow.hangUp() }, "listening=1 heard=1 written=1 ended=1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				test.rule.Match, test.rule.Subscribe = "*", rules.Anyone
				n := startNode(t, gateway.Config{Rules: rules.List{test.rule}})
				slow, fast := n.connect(gateway.Hello{}), n.connect(gateway.Hello{})
				for _, p := range []*peer{slow, fast} {
					p.subscribe("a")
				}
				resume := slow.stall()
				defer resume()
				n.publish("a", "stalls")
				synctest.Wait()
				var got gateway.Trace
				var err error
				done := make(chan struct{})
				go func() {
					defer close(done)
					got, err = n.Trace(t.Context(), &shop, hello("a"), gateway.TraceQuestion{Wait: 3 * time.Second})
				}()
				fast.expect("message a hello")
				test.meanwhile(n, slow)
				<-done
				if err != nil || len(got.Nodes) != 1 || fates(got.Nodes[0]) != test.want {
					t.Fatalf("%+v, %v, want %s", got, err, test.want)
				}
				if len(got.Nodes[0].Sessions) != 1 {
					t.Errorf("tells of %+v, want of the one that did not get it", got.Nodes[0].Sessions)
				}
			})
		})
	}
}

func TestTrace_LeavesOutWhoItIsNotFor(t *testing.T) {
	n := startNode(t, gateway.Config{})
	p := n.connect(gateway.Hello{Session: "s1"})
	p.subscribe("a")
	c := hello("a")
	c.Except = "s1"
	got, err := n.Trace(t.Context(), &shop, c, gateway.TraceQuestion{Wait: patience})
	if err != nil || len(got.Nodes) != 1 || fates(got.Nodes[0]) != "listening=1 heard=1 skipped=1" {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestTrace_IsOverWhenItIsTold checks that a finished trace is discarded, so that there is
// room for the next ones.
func TestTrace_IsOverWhenItIsTold(t *testing.T) {
	n := startNode(t, gateway.Config{})
	for range 40 {
		if _, err := n.Trace(t.Context(), &shop, hello("a"), gateway.TraceQuestion{}); err != nil {
			t.Fatal(err)
		}
	}
}

// A trace asks again and again, and holds one answer at a time.
func TestTrace_HoldsNoAnswerForLongerThanItNeedsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{Limits: gateway.Limits{InboundBytes: 16 << 10}})
		for range 50 {
			p := n.connectAs("alice", "a")
			resume := p.stall()
			defer resume()
		}
		n.publish("a", "stalls")
		synctest.Wait()
		got, err := n.Trace(t.Context(), &shop, hello("a"), gateway.TraceQuestion{User: "alice", Wait: 3 * time.Second})
		must(t, err)
		if waiting := got.Nodes[0].Waiting; waiting != 50 {
			t.Errorf("it waits for %d sessions, want 50", waiting)
		}
	})
}
