package gateway_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
	"tidegate/gateway"
)

// nothing returns the cursor of a channel that has no messages yet.
func nothing(t *testing.T, h broker.History, channel string) broker.Position {
	t.Helper()
	tops, err := h.Tops(t.Context(), []string{channel})
	if err != nil || !tops[0].Unborn() {
		t.Fatalf("Tops of %q: %v, %v", channel, tops, err)
	}
	return tops[0].Position
}

func TestRecovery_TheFirstMessageIsNoGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLossy(t, 10, gateway.Limits{})
		cursor := nothing(t, l, "kept:a")
		p := n.connect(gateway.Hello{})
		p.send("sub kept:a %s", cursor)
		p.expect("subscribed kept:a recovered=true")
		reads := l.reads.Load()
		n.publish("kept:a", "1")
		p.expect("message kept:a 1")
		if l.reads.Load() != reads {
			t.Error("the history was read for a message that was there")
		}
		late := n.connect(gateway.Hello{})
		late.send("sub kept:a %s", cursor)
		late.expect("subscribed kept:a recovered=true")
		late.expect("message kept:a 1")
		if count(p.lines(), "gap") > 0 || count(late.lines(), "gap") > 0 {
			t.Errorf("heard %q and %q", p.lines(), late.lines())
		}
	})
}

func TestRecovery_WhoHasCountedFromBeforeTheFirstMessageGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLossy(t, 10, gateway.Limits{})
		cursor := nothing(t, l, "kept:a")
		for _, text := range []string{"1", "2", "3"} {
			n.publish("kept:a", "%s", text)
		}
		p := n.connect(gateway.Hello{})
		cursor.Offset = 2
		p.send("sub kept:a %s", cursor)
		p.expect("subscribed kept:a recovered=true")
		p.expect("message kept:a 3")
		if got := p.heardOf("kept:a"); !slices.Equal(got, []string{"3"}) {
			t.Errorf("heard %q", got)
		}
		ahead := n.connect(gateway.Hello{})
		cursor.Offset = 4
		ahead.send("sub kept:a %s", cursor)
		ahead.expect("subscribed kept:a recovered=false")
	})
}

func TestRecovery_TheFirstMessageIsRepairedWithoutAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLossy(t, 10, gateway.Limits{})
		p := n.listen("kept:a")
		l.losing.Store(true)
		n.publish("kept:a", "1")
		l.losing.Store(false)
		n.publish("kept:a", "2")
		p.expect("message kept:a 2")
		if got := p.heardOf("kept:a"); !slices.Equal(got, []string{"1", "2"}) || count(p.lines(), "gap") > 0 {
			t.Errorf("heard %q", p.lines())
		}
	})
}

func TestRecovery_AChannelMayWaitLongForItsFirstMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLossy(t, 10, gateway.Limits{})
		p := n.listen("kept:a")
		old := nothing(t, l, "kept:a")
		reads := l.reads.Load()
		for range 3 * 60 { // an hour: more than a memory takes nothing for the same
			time.Sleep(20 * time.Second)
			p.send("ping")
		}
		if l.reads.Load() != reads {
			t.Errorf("%d reads of a history of nothing", l.reads.Load()-reads)
		}
		cursor := nothing(t, l, "kept:a")
		n.publish("kept:a", "1")
		p.expect("message kept:a 1")
		if count(p.lines(), "gap") > 0 {
			t.Errorf("heard %q", p.lines())
		}
		for cursor, want := range map[broker.Position]string{cursor: "true", old: "false"} { // nobody knows what happened since the old one
			late := n.connect(gateway.Hello{})
			late.send("sub kept:a %s", cursor)
			late.expect("subscribed kept:a recovered=" + want)
			late.expect("message kept:a 1")
		}
	})
}

func TestRecovery_NothingIsTheSameOnEachNode(t *testing.T) {
	server := brokertest.StartRedis(t)
	nodes := []*node{startHistoryNode(t, server), startHistoryNode(t, server)}
	live := []*peer{nodes[0].listen("a"), nodes[1].listen("a")}
	page, err := nodes[0].ReadHistory(t.Context(), &gateway.Principal{}, gateway.History{Channel: "a"})
	must(t, err)
	cursor := page.Cursor()
	if n := server.CLI("DBSIZE"); n != "0" {
		t.Errorf("%s keys of a channel that nobody has published on: %s", n, server.CLI("KEYS", "*"))
	}
	nodes[1].publish("a", "1")
	for _, p := range live {
		p.expect("message a 1")
	}
	for _, n := range nodes {
		late := n.connect(gateway.Hello{})
		late.send("sub a %s", cursor)
		late.expect("subscribed a recovered=true")
		late.expect("message a 1")
	}
	for _, p := range live {
		if count(p.lines(), "gap") > 0 {
			t.Errorf("heard %q", p.lines())
		}
	}
	server.Flush()
	for _, p := range live {
		p.expect("gap a")
	}
	for _, n := range nodes {
		late := n.connect(gateway.Hello{})
		late.send("sub a %s", cursor)
		late.expect("subscribed a recovered=false")
	}
}
