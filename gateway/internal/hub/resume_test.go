package hub

import (
	"strings"
	"testing"
	"testing/synctest"

	"tidegate/broker"
)

// A client that is sent a long history is told at once who comes and goes, and how many there
// are, like all others. It does not matter whether its reply has listed the members.
func TestJoin_WhoIsSentALongPastHearsTheNewsMeanwhile(t *testing.T) {
	for name, join := range map[string]Join{
		"a cursor":                {Cursor: broker.Position{Epoch: epoch, Offset: 1}},
		"recent messages":         {Recent: 3},
		"members, and a cursor":   {Cursor: broker.Position{Epoch: epoch, Offset: 1}, Members: true},
		"members, and the recent": {Recent: 3, Members: true},
	} {
		t.Run(name, func(t *testing.T) {
			rule := keeping
			rule.Presence, rule.JoinLeave = true, true
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, rule, 1000)
				at := w.host("bob")
				for range 4 {
					w.publish(strings.Repeat("x", 400))
				}
				s, done := &session{w: w, id: "self"}, make(chan struct{})
				go func() {
					defer close(done)
					w.bring(s, join)
				}()
				synctest.Wait() // it has been sent as much as there is room for
				at.Receive("chat", &broker.Message{Event: broker.EventJoin, User: "dave", Position: broker.Position{Epoch: "p", Offset: 2}})
				at.Receive("chat", &broker.Message{Event: broker.EventLeave, User: "bob", Position: broker.Position{Epoch: "p", Offset: 3}})
				w.TellCount("chat", 7)
				var heard []string
				for arrived := false; !arrived; {
					heard = append(heard, strings.Fields(strings.ReplaceAll(s.heard(), "x", ""))...)
					synctest.Wait()
					select {
					case <-done:
						arrived = true
					default:
					}
				}
				w.hear(w.publish("live")...)
				heard = append(heard, s.heard())
				if got := strings.Join(heard, " "); !strings.HasPrefix(got, "joined left counted") || !strings.HasSuffix(got, "live") {
					t.Errorf("it heard %q besides the history", got)
				}
			})
		})
	}
}
