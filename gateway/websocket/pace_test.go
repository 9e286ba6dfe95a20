package websocket

import (
	"strings"
	"testing"
	"time"

	"tidegate/gateway"
)

func TestPace_EndsWhoDoesNotGoOn(t *testing.T) {
	of := &pace{every: time.Hour}
	var idle, steady, stuck, later progress
	idle.note(of, nil, 100, false)
	stuck.note(of, nil, 50_000, true)
	looks := func(want ...*progress) {
		t.Helper()
		steady.note(of, nil, leastProgress, true)
		if slow := of.slow(); len(slow) != len(want) || len(want) > 0 && slow[0].progress != want[0] {
			t.Errorf("%d are too slow, want %d", len(slow), len(want))
		}
	}
	looks()
	stuck.note(of, nil, leastProgress-1, true)
	later.note(of, nil, 100, true)
	looks(&stuck)
	later.note(of, nil, 1, false)
	looks()
	later.note(of, nil, 1, true) // it is watched again
	looks()
	looks(&later)
	steady.note(of, nil, 0, false)
	of.slow()
	if len(of.watched) > 0 {
		t.Errorf("%d are watched, and nobody has begun a message", len(of.watched))
	}
	of.timer.Stop()
}

// A client that begins a message and does not finish it cannot hold its memory for long.
func TestPace_WhoDoesNotGoOnWithAMessageIsSentAway(t *testing.T) {
	eachEngine(t, func(t *testing.T, start starter) {
		n := start(t, gateway.Config{})
		n.webSocket.starting.Do(n.webSocket.start)
		n.webSocket.shared.pace.every = 50 * time.Millisecond
		idle := n.dialUpgraded()
		for _, begins := range []string{
			masked(opText, strings.Repeat("x", 20<<10)),
			masked(final|opText, strings.Repeat("x", 20<<10))[:10<<10],
			masked(final|opText, `{"type":"ping"}`) + masked(opText, "x"),
		} {
			idle.send(masked(final|opText, `{"type":"ping"}`))
			r := n.dialUpgraded()
			r.send(begins)
			r.expectCloseCode(1001)
		}
		idle.send(masked(final|opText, `{"type":"ping"}`) + masked(final|opClose, ""))
		idle.expectFrame(opClose)
		n.awaitThat("nothing is held", func() bool { return n.sessions() == 0 })
	})
}
