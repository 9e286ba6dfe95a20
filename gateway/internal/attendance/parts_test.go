package attendance_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/attendance"
)

// forgetful is a broker that can lose what it is told, and fail after it has taken it.
type forgetful struct {
	*broker.Memory

	mu      sync.Mutex
	largest int // most members in one attendance
	stated  int // members in all attendances
	loses   bool
	fails   bool
	since   uint64 // the first version that it is sure of; 0: it has lost nothing
	version uint64
}

func (f *forgetful) do(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *forgetful) Attend(ctx context.Context, by broker.Attendant, list []broker.Attendance) ([]bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	taken := make([]bool, len(list))
	for i := range list {
		f.version, taken[i] = list[i].Version, true
		f.largest, f.stated = max(f.largest, len(list[i].Members)), f.stated+len(list[i].Members)
	}
	if f.loses {
		return taken, nil
	}
	taken, err := f.Memory.Attend(ctx, by, list)
	if f.fails {
		return nil, broker.ErrUnavailable
	}
	return taken, err
}

func (f *forgetful) Keep(ctx context.Context, by broker.Attendant, version uint64) (broker.Standing, error) {
	standing, err := f.Memory.Keep(ctx, by, version)
	f.mu.Lock()
	defer f.mu.Unlock()
	if since := f.since; err == nil && since > 0 {
		standing.Since = func(string) uint64 { return since }
	}
	return standing, err
}

const many = 3000

func crowd(h *house, f *forgetful) *attendance.Attendance {
	a := h.run("a", attendance.Config{Presence: f})
	for i := range many {
		a.Came("room", attendance.Who{User: fmt.Sprint("user", i)})
	}
	time.Sleep(time.Second)
	return a
}

// After the broker has lost data, members are stated in parts however many they are.
func TestState_IsInPartsWhenTheBrokerHasForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startHouse(t)
		f := &forgetful{Memory: h.broker}
		a := crowd(h, f)
		f.do(func() { f.loses = true })
		a.Came("room", attendance.Who{User: "came"})
		a.Went("room", attendance.Who{User: "user7"})
		time.Sleep(time.Second)
		f.do(func() { f.loses, f.since = false, f.version+1 })
		time.Sleep(20 * time.Second) // beyond a sign of life, and a linger
		roster, err := a.Members(t.Context(), "room")
		if err != nil {
			t.Fatal(err)
		}
		there := make(map[string]bool)
		for _, m := range roster.Members {
			there[m.User] = m.Sessions == 1
		}
		if len(there) != many || roster.Sessions != many || !there["came"] || there["user7"] {
			t.Errorf("%d members with %d sessions; who came is there: %v, who went: %v", len(there), roster.Sessions, there["came"], there["user7"])
		}
		if f.do(func() { f.stated = 0 }); f.largest > 500 {
			t.Errorf("%d members were stated at once", f.largest)
		}
		if time.Sleep(time.Minute); f.stated != 0 {
			t.Errorf("%d members are stated again", f.stated)
		}
	})
}

// Whether the broker has taken a statement or not, only what it contained is stated again.
func TestState_AfterAnErrorSaysNoMoreThanItHasTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startHouse(t)
		f := &forgetful{Memory: h.broker}
		a := crowd(h, f)
		f.do(func() { f.fails, f.stated = true, 0 })
		a.Came("room", attendance.Who{User: "came"})
		time.Sleep(10 * time.Millisecond)
		f.do(func() { f.fails = false })
		time.Sleep(20 * time.Second)
		if got := h.members(a, "room"); f.stated > 2 || len(got) < many {
			t.Errorf("%d members were stated to tell of one; %.80s", f.stated, got)
		}
		if roster, _ := a.Members(t.Context(), "room"); len(roster.Members) != many+1 {
			t.Errorf("%d members", len(roster.Members))
		}
	})
}
