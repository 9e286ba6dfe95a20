package gateway_test

import (
	"testing"
	"testing/synctest"
	"time"

	"tidegate/gateway"
)

// TestGap_EndsTheSubscriptionWhereTheProtocolWantsIt has many sessions lose a channel at
// random times and come back to it, while everything else goes on.
func TestGap_EndsTheSubscriptionWhereTheProtocolWantsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLossy(t, 10, gateway.Limits{})
		const sessions = 20
		peers := make([]*peer, sessions)
		for i := range peers {
			peers[i] = n.connect(gateway.Hello{Protocol: words{"leaving"}})
			peers[i].send("sub plain")
			peers[i].send("sub other")
			peers[i].expect("subscribed other")
		}
		l.Gap([]string{"plain"}, errCut)
		synctest.Wait()
		n.publish("plain", "between")
		n.publish("other", "goes on")
		synctest.Wait()
		atOnce := 0
		for _, p := range peers {
			p.expect("message other goes")
			atOnce += count(p.lines(), "gap plain")
		}
		if atOnce > sessions/2 {
			t.Errorf("%d of %d were told at once", atOnce, sessions)
		}
		for _, p := range peers {
			p.expect("gap plain")
			if len(p.heardOf("plain")) > 0 {
				t.Errorf("heard %v after a loss that was not told yet", p.heardOf("plain"))
			}
			p.send("sub plain")
			p.until("a second subscribed", func() bool { return count(p.lines(), "subscribed plain") == 2 })
		}
		n.publish("plain", "after")
		for _, p := range peers {
			p.expect("message plain after")
		}
	})
}

func TestGap_OfAClientOnItsWayEndsTheSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLossy(t, 100, gateway.Limits{OutboxBytes: 4 << 10})
		from := n.publish("kept:a", "first")
		for i := range 50 {
			n.publish("kept:a", "%d%0500d", i, 0)
		}
		p := n.connect(gateway.Hello{Protocol: words{"leaving"}})
		read := p.stall()
		p.send("sub kept:a %s", from)
		synctest.Wait() // it has been sent as much as there is room for
		l.publishBare(t, "kept:a", "bare")
		read()
		p.expect("gap kept:a")
		p.send("sub kept:a %s", from)
		p.until("a second subscribed", func() bool { return count(p.lines(), "subscribed kept:a recovered=true") == 2 })
	})
}

func TestGap_EndsASessionThatTheServerHasPutOnTheChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLossy(t, 10, gateway.Limits{})
		p := n.connect(gateway.Hello{Protocol: words{"leaving"}, Principal: gateway.Principal{Channels: []string{"plain"}}})
		p.expect("subscribed plain")
		l.Gap([]string{"plain"}, errCut)
		if reason := p.expectClosed(); !reason.Is(gateway.Missed) {
			t.Errorf("closed with %+v", reason)
		}
		if got := count(p.lines(), "gap plain"); got != 0 {
			t.Error("it was told to subscribe anew, which it cannot")
		}
	})
}

// TestGap_WhoHasLeftMeanwhileIsNotTold has a client leave the channel before it is told of the
// gap.
func TestGap_WhoHasLeftMeanwhileIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLossy(t, 10, gateway.Limits{})
		first, second := n.connect(gateway.Hello{Protocol: words{"leaving"}}), n.connect(gateway.Hello{Protocol: words{"leaving"}})
		for _, p := range []*peer{first, second} {
			p.subscribe("plain")
		}
		l.Gap([]string{"plain"}, errCut)
		first.expect("gap plain")
		second.send("unsub plain")
		second.send("sub plain")
		second.expect("unsubscribed plain")
		time.Sleep(time.Minute)
		if got := count(second.lines(), "gap plain"); got != 0 {
			t.Error("a subscription that is over was ended")
		}
		n.publish("plain", "live")
		second.expect("message plain live")
	})
}

// TestGap_DoesNotEndTheSessionOfWhoHasLeftMeanwhile uses a protocol that cannot express a gap.
func TestGap_DoesNotEndTheSessionOfWhoHasLeftMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLossy(t, 10, gateway.Limits{})
		stays, leaves := n.connect(gateway.Hello{Protocol: words{"curt"}}), n.connect(gateway.Hello{Protocol: words{"curt"}})
		for _, p := range []*peer{stays, leaves} {
			p.subscribe("plain")
		}
		l.Gap([]string{"plain"}, errCut)
		leaves.send("unsub plain")
		if reason := stays.expectClosed(); !reason.Is(gateway.Missed) {
			t.Errorf("closed with %+v", reason)
		}
		time.Sleep(time.Minute)
		leaves.subscribe("other")
	})
}
