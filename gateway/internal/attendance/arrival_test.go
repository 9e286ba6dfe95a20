package attendance

import (
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/wall"
)

// arrivals are users who come to a channel on which many are, and go.
type arrivals struct {
	a        *Attendance
	told     int
	position uint64
}

func newArrivals(members int) *arrivals {
	log := slog.New(slog.DiscardHandler)
	s := &arrivals{a: New(Config{Run: "run", Lease: time.Minute, Log: log, Wall: &wall.Wall{Log: log}})}
	r := &roster{channel: "c", tell: func(Change) { s.told++ }, mu: new(sync.Mutex), members: make(map[string]Who)}
	r.position = broker.Position{Epoch: "e"}
	s.a.rosters["c"] = r
	for i := range members {
		who := Who{User: fmt.Sprint("user", i)}
		r.members[who.name()] = who
		s.a.Came("c", who)
	}
	return s
}

func (s *arrivals) comeAndGo() {
	who := Who{User: "alice"}
	s.a.Came("c", who)
	for _, event := range []string{broker.EventJoin, broker.EventLeave} {
		s.position++
		s.a.Receive("c", &broker.Message{Event: event, User: who.User, Position: broker.Position{Epoch: "e", Offset: s.position}})
	}
	s.a.Went("c", who)
}

// A message waits for nothing that grows with those who are on its channel: an arrival has
// the same done, and as much, whether ten are there or a hundred thousand.
func TestArrival_CostsTheSameHoweverManyAreThere(t *testing.T) {
	const times = 200
	cost := func(members int) (allocs float64, took time.Duration) {
		s := newArrivals(members)
		allocs = testing.AllocsPerRun(times, s.comeAndGo)
		if s.told != 2*(times+1) {
			t.Errorf("with %d members there, %d changes were told of %d arrivals, want a join and a leave each", members, s.told, times+1)
		}
		took = time.Hour
		for range 10 {
			began := time.Now()
			for range times {
				s.comeAndGo()
			}
			took = min(took, time.Since(began))
		}
		return allocs, took
	}
	fewAllocs, few := cost(10)
	manyAllocs, many := cost(100_000)
	if manyAllocs > fewAllocs+1 {
		t.Errorf("an arrival allocates %v times with ten there, and %v times with very many", fewAllocs, manyAllocs)
	}
	if many > 100*few { // to look at each would take thousands of times as long
		t.Errorf("arrivals take %v with ten there, and %v with very many", few, many)
	}
}
