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

// arrivals are users who come to a crowded channel and leave it again.
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

// The cost of an arrival does not grow with the number of members: as much is stated and
// allocated with ten members as with a hundred thousand. BenchmarkArrival shows that it
// takes no longer, either.
func TestArrival_CostsTheSameHoweverManyAreThere(t *testing.T) {
	const times = 200
	cost := func(members int) (allocs float64) {
		s := newArrivals(members)
		allocs = testing.AllocsPerRun(times, s.comeAndGo)
		if s.told != 2*(times+1) {
			t.Errorf("with %d members there, %d changes were told of %d arrivals, want a join and a leave each", members, s.told, times+1)
		}
		return allocs
	}
	if few, many := cost(10), cost(100_000); many > few+1 {
		t.Errorf("an arrival allocates %v times with ten there, and %v times with very many", few, many)
	}
}

func BenchmarkArrival(b *testing.B) {
	for _, members := range []int{10, 100_000} {
		s := newArrivals(members)
		b.Run(fmt.Sprint(members), func(b *testing.B) {
			for b.Loop() {
				s.comeAndGo()
			}
		})
	}
}
