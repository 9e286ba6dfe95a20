package attendance

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/wall"
)

// renewed has members in an epoch that began after the one of all joins and leaves.
type renewed struct {
	broker.Presence
	reads atomic.Int64
}

func (p *renewed) Members(context.Context, string) (broker.Roster, error) {
	p.reads.Add(1)
	time.Sleep(time.Millisecond)
	return broker.Roster{Position: broker.Position{Epoch: "new", Offset: 1}}, nil
}

// A join that belongs to an epoch that is over when the members are read is no reason to read
// them again and again.
func TestRoster_IsReadOnceForAJoinOfAnEpochThatIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, p := slog.New(slog.DiscardHandler), new(renewed)
		a := New(Config{Run: "run", Lease: time.Minute, Log: log, Wall: &wall.Wall{Log: log}, Presence: p})
		defer a.end()
		a.rosters["c"] = &roster{
			channel: "c", tell: func(Change) {}, mu: new(sync.Mutex), members: make(map[string]Who), position: broker.Position{Epoch: "old"},
		}
		a.Receive("c", &broker.Message{Event: broker.EventJoin, User: "alice", Position: broker.Position{Epoch: "old", Offset: 2}})
		time.Sleep(10 * time.Second)
		if reads := p.reads.Load(); reads != 1 {
			t.Errorf("the members were read %d times, want 1", reads)
		}
	})
}
