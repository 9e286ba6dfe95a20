package gateway_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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

// A client may lose a channel while it subscribes to it. New rules wait for no broker.
func TestSession_ASubscribeThatItsEndOvertakesIsToldWhy(t *testing.T) {
	for why, end := range map[string]func(*testing.T, *node){
		"new rules": func(t *testing.T, n *node) { must(t, n.SetRules(rules.List{{Match: "*", Subscribe: rules.Nobody}})) },
		"a backend": func(t *testing.T, n *node) {
			go func() { // it waits for the broker
				expectReached(t, 1)(n.Users.Unsubscribe(t.Context(), gateway.Whose{User: "alice"}, "room:1"))
			}()
		},
	} {
		t.Run(why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newTurnstile()
				n := startNode(t, gateway.Config{Broker: b, Rules: roomRules})
				p := n.connect(gateway.Hello{Principal: gateway.Principal{User: "alice"}})
				p.send("sub room:1")
				synctest.Wait()
				end(t, n)
				p.expect("unsubscribed room:1 forbidden")
				close(b.pass)
				p.expect("error forbidden")
			})
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

// A client that subscribes anew while it is still being sent what it has missed is sent what
// it has asked for last.
func TestSession_ASubscribeTakesThePlaceOfOneThatIsNotDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, _ := startLossy(t, 100, gateway.Limits{OutboxBytes: 4 << 10})
		from := n.publish("kept:a", "first")
		n.publishMany("kept:a", 20)
		last := n.publish("kept:a", "last")
		for i, again := range []string{"", last.String()} {
			p := n.connect(gateway.Hello{})
			read := p.stall()
			p.send("sub kept:a %s", from)
			synctest.Wait()
			p.send("sub kept:a %s", again)
			synctest.Wait()
			n.publish("kept:a", "live")
			read()
			p.expect("message kept:a live")
			synctest.Wait()
			got := p.heardOf("kept:a")
			old := slices.Index(got, "live")
			if old > 5 || len(got)-old != i+1 { // the second also missed what was live for the first
				t.Errorf("heard %.8s", got)
			}
		}
	})
}

// A client that is slow to read what it has missed is listened to meanwhile.
func TestSession_OtherCommandsDoNotWaitForWhatItHasMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLossy(t, 2000, gateway.Limits{OutboxBytes: 64 << 10})
		from := n.publish("kept:a", "first")
		const missed = 1500
		n.publishMany("kept:a", missed)
		p := n.connect(gateway.Hello{})
		read := p.stall()
		p.send("sub kept:a %s", from)
		p.send("sub kept:b %s", from)
		p.send("ping")
		p.send("pub kept:b hello")
		l.away.Store(true)
		read()
		p.expect("message kept:b hello")
		p.expect("pong")
		for range 10 {
			time.Sleep(20 * time.Second)
			p.send("ping")
		}
		synctest.Wait()
		if got := p.heardOf("kept:a"); len(got) == 0 || len(got) == missed {
			t.Fatalf("heard %d messages before the history was away", len(got))
		}
		l.away.Store(false)
		p.expect(fmt.Sprintf("message kept:a %d-", missed-1))
		if got := p.heardOf("kept:a"); len(got) != missed {
			t.Errorf("heard %d messages, want %d", len(got), missed)
		}
	})
}

// A channel whose history cannot be read does not keep a client from what it has missed on the
// others: they may be kept by another Redis.
func TestSession_ResumesOnOtherChannelsWhileOneHistoryIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLossy(t, 2000, gateway.Limits{OutboxBytes: 64 << 10})
		from := n.publish("kept:a", "first")
		const missed = 1500
		n.publishMany("kept:a", missed)
		n.publishMany("kept:b", missed)
		p := n.connect(gateway.Hello{})
		read := p.stall()
		p.send("sub kept:a %s", from)
		p.send("sub kept:b %s", from)
		synctest.Wait()
		l.without.Store("kept:a")
		read()
		p.expect(fmt.Sprintf("message kept:b %d-", missed-1))
		if got := p.heardOf("kept:a"); len(got) == missed {
			t.Error("the history of kept:a was not away")
		}
		l.without.Store("")
		p.expect(fmt.Sprintf("message kept:a %d-", missed-1))
		if a, b := len(p.heardOf("kept:a")), len(p.heardOf("kept:b")); a != missed || b < missed-1 {
			t.Errorf("heard %d and %d messages, want %d", a, b, missed)
		}
	})
}

// A resumption that is taken up again after a failed read does not end one that has replaced it
// meanwhile.
func TestSession_AResumptionOutlivesAnEarlierOneWhoseReadFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLossy(t, 2000, gateway.Limits{OutboxBytes: 64 << 10})
		from := n.publish("kept:a", "first")
		const missed = 1500
		n.publishMany("kept:a", missed)
		p := n.connect(gateway.Hello{})
		read := p.stall()
		p.send("sub kept:a %s", from)
		synctest.Wait()
		l.without.Store("kept:a")
		read()
		synctest.Wait() // a read has failed, and is to be tried again
		l.without.Store("")
		p.send("sub kept:a %s", from)
		synctest.Wait()
		time.Sleep(10 * time.Second)
		n.publish("kept:a", "live")
		p.expect("message kept:a live")
	})
}

// A client is not taken for silent while the gateway itself keeps it waiting.
func TestSession_ThatIsNotReadIsNotSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTurnstile()
		n := startNode(t, gateway.Config{Broker: b, Rules: roomRules})
		p := n.connect(gateway.Hello{})
		p.send("sub room:1")
		p.send("unsub room:1")
		time.Sleep(5 * time.Minute)
		close(b.pass)
		p.expect("unsubscribed room:1")
	})
}

// The request by which a backend grants a channel may end before the client has been sent what
// it missed.
func TestUsers_AGrantWithACursorIsAnsweredBeforeTheClientHasReadAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, _ := startLossy(t, 100, gateway.Limits{OutboxBytes: 4 << 10})
		from := n.publish("kept:a", "first")
		const missed = 50
		n.publishMany("kept:a", missed)
		p := n.connect(gateway.Hello{Principal: gateway.Principal{User: "alice"}})
		read := p.stall()
		ctx, cancel := context.WithCancel(t.Context())
		expectReached(t, 1)(n.Users.Subscribe(ctx, gateway.Whose{User: "alice"}, gateway.Grant{Channel: "kept:a", Cursor: from.String()}))
		cancel()
		read()
		p.expect(fmt.Sprintf("message kept:a %d-", missed-1))
		if got := p.heardOf("kept:a"); len(got) != missed {
			t.Errorf("heard %d messages, want %d", len(got), missed)
		}
	})
}
