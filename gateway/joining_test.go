package gateway_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/rules"
)

// A subscribe that fails leaves the session on a channel that it was on before.
func TestSession_ASubscribeInVainEndsNoSubscription(t *testing.T) {
	for _, channel := range []string{"@alice", "news"} {
		synctest.Test(t, func(t *testing.T) {
			l := newLossy()
			n := startNode(t, gateway.Config{Broker: l, History: l, Rules: rules.List{{Match: "*", Subscribe: rules.Anyone, HistorySize: 100}}})
			p := n.connect(gateway.Hello{Principal: gateway.Principal{User: "alice"}})
			p.subscribe("news")
			n.publish(channel, "1")
			l.away.Store(true)
			p.send("sub %s other:3", channel)
			synctest.Wait()
			n.publish(channel, "2")
			p.expect("error unavailable")
			l.away.Store(false)
			n.publish(channel, "3")
			p.expect("message " + channel + " 3")
			if got := p.heardOf(channel); !slices.Equal(got, []string{"1", "2", "3"}) {
				t.Errorf("heard %v on %s", got, channel)
			}
		})
	}
}

// A session is on a channel that a backend has granted it even if the client's own subscribe,
// which was under way then, fails. If it cannot be, the session ends.
func TestUsers_AGrantOutlivesTheClientsSubscribe(t *testing.T) {
	for _, works := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			b := newTurnstile()
			b.refuses = "room:1"
			n := startNode(t, gateway.Config{Broker: b, Rules: roomRules})
			p := n.connect(gateway.Hello{Principal: gateway.Principal{User: "alice"}})
			p.send("sub room:1")
			synctest.Wait()
			expectReached(t, 1)(n.Users.Subscribe(t.Context(), gateway.Whose{User: "alice"}, gateway.Grant{Channel: "room:1"}))
			b.pass <- struct{}{}
			synctest.Wait() // it asks once more
			if works {
				b.refuses = ""
			}
			close(b.pass)
			p.expect("error unavailable")
			if !works {
				if reason := p.expectClosed(); !reason.Is(gateway.Missed) {
					t.Errorf("closed with %+v", reason)
				}
				return
			}
			p.expect("subscribed room:1")
			n.publish("room:1", "hello")
			p.expect("message room:1 hello")
		})
	}
}

// A backend may grant a session a channel while its client subscribes to it with a cursor.
func TestUsers_AGrantLeavesItToTheClientsCursorWhereMessagesBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, history := newTurnstile(), broker.NewMemory()
		b.Broker = history
		n := startNode(t, gateway.Config{Broker: b, History: history, Limits: gateway.Limits{OutboxBytes: 4 << 10},
			Rules: rules.List{{Match: "*", Subscribe: rules.Anyone, HistorySize: 100}}})
		cursor := n.publish("room:1", "0")
		want := []string{}
		for i := range 20 {
			want = append(want, fmt.Sprintf("%d-%s", i, strings.Repeat("x", 500)))
			n.publish("room:1", "%s", want[i])
		}
		p := n.connect(gateway.Hello{Principal: gateway.Principal{User: "alice"}})
		read := p.stall()
		go func() {
			expectReached(t, 1)(n.Users.Subscribe(t.Context(), gateway.Whose{User: "alice"}, gateway.Grant{Channel: "room:1"}))
		}()
		eventually(t, "the grant", func() bool { return len(b.made()) == 1 })
		p.send("sub room:1 %s", cursor)
		synctest.Wait()
		close(b.pass)
		synctest.Wait() // the client has been sent as much as there is room for
		n.publish("room:1", "live")
		read()
		p.expect("message room:1 live")
		if got := p.heardOf("room:1"); !slices.Equal(got, append(want, "live")) {
			t.Errorf("heard %.8s", got)
		}
		if subscribed := count(p.lines(), "subscribed room:1 recovered=true"); subscribed != 1 {
			t.Errorf("heard %d times that it has subscribed", subscribed)
		}
	})
}
