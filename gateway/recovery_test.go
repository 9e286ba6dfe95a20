package gateway_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/rules"
)

func TestRecovery_LostMessageIsRepairedByTheNext(t *testing.T) {
	n, l := startLossy(t, 100, gateway.Limits{})
	p := n.listen("kept:a")
	n.publish("kept:a", "1")
	l.losing.Store(true)
	n.publish("kept:a", "2")
	n.publish("kept:a", "3")
	l.losing.Store(false)
	n.publish("kept:a", "4")
	p.expect("message kept:a 4")
	if got := p.heardOf("kept:a"); !slices.Equal(got, []string{"1", "2", "3", "4"}) {
		t.Errorf("heard %v", got)
	}
	if got := count(p.lines(), "gap kept:a"); got != 0 {
		t.Error("a repaired gap was told")
	}
}

func TestRecovery_LostLastMessageIsFoundInAQuietChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLossy(t, 100, gateway.Limits{})
		p := n.listen("kept:a")
		l.losing.Store(true)
		n.publish("kept:a", "last")
		l.losing.Store(false)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if got := p.heardOf("kept:a"); !slices.Equal(got, []string{"last"}) {
			t.Errorf("heard %v", got)
		}
	})
}

// partly is a history that does not return the position of some channels.
type partly struct {
	*lossy
	mute string
}

func (h *partly) Tops(ctx context.Context, channels []string) ([]broker.Top, error) {
	tops, err := h.lossy.Tops(ctx, channels)
	if at := slices.Index(channels, h.mute); at >= 0 && len(channels) > 1 {
		tops[at], err = broker.Top{}, broker.ErrUnavailable
	}
	return tops, err
}

func TestRecovery_LostLastMessageIsFoundWhereOtherChannelsCannotBeAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLossy()
		rules := rules.List{{Match: "kept:*", Subscribe: rules.Anyone, Publish: rules.Anyone, HistorySize: 100}}
		n := startNode(t, gateway.Config{Broker: l, History: &partly{l, "kept:mute"}, Rules: rules})
		p := n.connect(gateway.Hello{})
		for _, name := range []string{"kept:a", "kept:mute"} {
			p.send("sub %s", name)
			p.expect("subscribed " + name)
		}
		l.losing.Store(true)
		n.publish("kept:a", "last")
		l.losing.Store(false)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if got := p.heardOf("kept:a"); !slices.Equal(got, []string{"last"}) {
			t.Errorf("heard %v", got)
		}
	})
}

func TestRecovery_GapIsToldOnAChannelWithoutHistory(t *testing.T) {
	n, l := startLossy(t, 100, gateway.Limits{})
	p := n.connect(gateway.Hello{})
	p.send("sub plain")
	p.send("sub kept:a")
	p.expect("subscribed kept:a")
	l.Gap([]string{"plain", "kept:a", "nobody's"}, errCut)
	p.expect("gap plain")
	n.publish("kept:a", "end")
	p.expect("message kept:a end")
	if count(p.lines(), "gap kept:a") != 0 {
		t.Error("a gap was told on a channel with history that lost nothing")
	}
}

func TestRecovery_GapIsToldWhereMessagesComeThatAreInNoHistory(t *testing.T) {
	n, l := startLossy(t, 100, gateway.Limits{})
	p := n.listen("kept:a")
	n.publish("kept:a", "1")
	l.publishBare(t, "kept:a", "bare")
	p.expect("message kept:a bare")
	l.losing.Store(true)
	n.publish("kept:a", "2")
	l.losing.Store(false)
	l.Gap([]string{"kept:a"}, errCut)
	p.expect("message kept:a 2")
	if count(p.lines(), "gap kept:a") != 1 {
		t.Errorf("the gap was not told once: %v", p.lines())
	}
}

func TestRecovery_GapEndsSessionsThatCannotBeTold(t *testing.T) {
	n, l := startLossy(t, 100, gateway.Limits{})
	p := n.connect(gateway.Hello{Protocol: words{"curt"}})
	p.subscribe("plain")
	l.Gap([]string{"plain"}, errCut)
	if reason := p.expectClosed(); reason.Code != 4010 {
		t.Errorf("closed with %+v", reason)
	}
}

func TestRecovery_NothingComesBetweenAGapThatCannotBeToldAndTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLossy(t, 100, gateway.Limits{})
		const sessions = 5
		peers := make([]*peer, sessions)
		for i := range peers {
			peers[i] = n.connect(gateway.Hello{Protocol: words{"curt"}})
			peers[i].send("sub plain")
			peers[i].expect("subscribed")
		}
		l.Gap([]string{"plain"}, errCut)
		synctest.Wait()
		n.publish("plain", "after")
		for _, p := range peers {
			if reason := p.expectClosed(); reason.Code != 4010 {
				t.Errorf("closed with %+v", reason)
			}
			if got := p.heardOf("plain"); len(got) > 0 {
				t.Errorf("heard %v after a gap that was not told", got)
			}
		}
	})
}

func TestRecovery_WhoCameBeforeHistoryWasKeptIsToldThatItBegins(t *testing.T) {
	n, l := startLossy(t, 3, gateway.Limits{})
	early := n.listen("plain")
	must(t, n.SetRules(rules.List{{Match: "*", Subscribe: rules.Anyone, Publish: rules.Anyone, HistorySize: 3}}))
	l.losing.Store(true) // as if it were still on its way
	n.publish("plain", "1")
	l.losing.Store(false)
	late := n.listen("plain")
	early.expect("gap plain")
	n.publish("plain", "2")
	early.expect("message plain 2")
	late.expect("message plain 2")
	if count(late.lines(), "gap plain") != 0 {
		t.Error("who has just come was told of a gap")
	}
}

func TestRecovery_TrimmedHistoryIsToldAsAGap(t *testing.T) {
	n, l := startLossy(t, 3, gateway.Limits{})
	p := n.listen("kept:a")
	l.losing.Store(true)
	for i := range 9 {
		n.publish("kept:a", "%d", i)
	}
	l.losing.Store(false)
	n.publish("kept:a", "9")
	p.expect("message kept:a 9")
	if got := p.heardOf("kept:a"); !slices.Equal(got, []string{"7", "8", "9"}) {
		t.Errorf("heard %v", got)
	}
	if count(p.lines(), "gap kept:a") != 1 {
		t.Errorf("the loss was not told once: %v", p.lines())
	}
}

func TestRecovery_RepairWaitsForTheHistoryToComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLossy(t, 100, gateway.Limits{})
		p := n.listen("kept:a")
		l.losing.Store(true)
		n.publish("kept:a", "1")
		l.losing.Store(false)
		l.away.Store(true)
		n.publish("kept:a", "2")
		time.Sleep(time.Minute)
		l.away.Store(false)
		p.expect("message kept:a 2")
		if got := p.heardOf("kept:a"); !slices.Equal(got, []string{"1", "2"}) {
			t.Errorf("heard %v", got)
		}
	})
}
