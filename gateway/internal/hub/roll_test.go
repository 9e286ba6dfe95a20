package hub

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/attendance"
	"tidegate/gateway/internal/wall"
	"tidegate/gateway/rules"
)

// guests is a Presence that reports a given number of members on each channel.
type guests struct {
	broker.Presence
	users []string
}

func (g guests) Members(context.Context, string) (broker.Roster, error) {
	roster := broker.Roster{Position: broker.Position{Epoch: "p", Offset: 1}}
	for _, user := range g.users {
		roster.Members = append(roster.Members, broker.Member{User: user})
	}
	return roster, nil
}

// deaf is a Broker that delivers nothing.
type deaf struct{ broker.Broker }

func (deaf) Subscribe(context.Context, ...string) error { return nil }

// host makes the world's hub tell joins and leaves.
func (w *world) host(users ...string) *attendance.Attendance {
	w.Attendance = attendance.New(attendance.Config{
		Presence: guests{users: users}, Broker: deaf{}, Lease: time.Minute,
		Log: slog.New(slog.DiscardHandler), Wall: &wall.Wall{Log: slog.New(slog.DiscardHandler)},
	})
	return w.Attendance
}

// While the reply with the members is encoded for one client, the channel goes on: others
// receive its messages, members join and leave. The client is told all of it.
func TestJoin_WhoIsThereIsSaidWithoutTheChannelsLock(t *testing.T) {
	for name, test := range map[string]struct {
		rule rules.Rule
		join Join
		want string
	}{
		"now":             {rules.Rule{}, Join{}, "joined left live"},
		"with a past":     {keeping, Join{Recent: 1}, "joined left meanwhile live"},
		"without a past":  {keeping, Join{}, "joined left live"},
		"nothing is past": {rules.Rule{}, Join{Recent: 1}, "joined left nothing live"},
	} {
		t.Run(name, func(t *testing.T) {
			test.rule.Presence, test.rule.JoinLeave = true, true
			w := newWorld(t, test.rule, 0)
			at := w.host("carol", "alice", "bob")
			w.publish("said")
			first := w.enter("first", Join{})
			step := uint64(1)
			change := func(event, user string) {
				step++
				at.Receive("chat", &broker.Message{Event: event, User: user, Position: broker.Position{Epoch: "p", Offset: step}})
			}
			s := &session{w: w, id: "self"}
			s.replying = func() {
				s.replying = nil
				done := make(chan struct{})
				go func() {
					defer close(done)
					w.hear(w.publish("meanwhile")...)
					for _, c := range [][2]string{{broker.EventJoin, "dave"}, {broker.EventJoin, "self"}, {broker.EventLeave, "bob"}} {
						change(c[0], c[1])
					}
				}()
				select {
				case <-done:
				case <-time.After(10 * time.Second):
					t.Error("the channel is locked while the answer is made")
				}
			}
			test.join.Members = true
			w.bring(s, test.join)
			w.hear(w.publish("live")...)
			s.expect(test.want)
			first.expect("meanwhile joined joined left live")
			var there []string
			for _, who := range s.start.Members {
				there = append(there, who.User)
			}
			if want := []string{"alice", "bob", "carol", "self"}; !slices.Equal(there, want) {
				t.Errorf("there are %q, want %q", there, want)
			}
		})
	}
}

// One operation is the time for which a channel with the given number of members is locked
// while another client joins and is told all of them.
func BenchmarkRoll(b *testing.B) {
	for _, n := range []int{500, 16 * 500} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			users := make([]string, n)
			for i := range users {
				users[i] = fmt.Sprint("user", i)
			}
			w := newWorld(b, rules.Rule{Presence: true, JoinLeave: true}, 0)
			w.host(users...)
			s := w.enter("self", Join{})
			ch := s.sub.channel
			var locked, free time.Duration
			for b.Loop() {
				began := time.Now()
				ch.mu.Lock()
				roll := s.sub.callRoll()
				ch.mu.Unlock()
				between := time.Now()
				roll.members()
				after := time.Now()
				ch.mu.Lock()
				roll.end()
				ch.mu.Unlock()
				locked, free = locked+between.Sub(began)+time.Since(after), free+after.Sub(between)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(locked.Nanoseconds())/float64(b.N*n), "ns-locked/member")
			b.ReportMetric(float64(free.Nanoseconds())/float64(b.N*n), "ns-free/member")
		})
	}
}
