package hub

import (
	"fmt"
	"testing"
	"time"

	"tidegate/gateway/internal/attendance"
)

func TestWithout(t *testing.T) {
	alice, bob, desk, phone := attendance.Who{User: "alice"}, attendance.Who{User: "bob"}, attendance.Who{User: "bob", Session: "desk"}, attendance.Who{User: "bob", Session: "phone"}
	got := without([]attendance.Who{alice, bob, desk, phone}, []attendance.Who{desk, alice, {User: "carol"}})
	if len(got) != 2 || got[0].Session != "" || got[0].User != "bob" || got[1].Session != "phone" {
		t.Errorf("left are %+v, want bob and his phone", got)
	}
}

// What is done under a channel's lock must not grow faster than those who are there: 64
// times as many are no more than 1,000 times the work, where each was compared with each
// it would be 4,096 times.
func TestWithout_ItsWorkGrowsAsTheListsDo(t *testing.T) {
	work := func(n int) time.Duration {
		members := make([]attendance.Who, n)
		for i := range members {
			members[i].User = fmt.Sprint("user", i)
		}
		least := time.Hour
		for range 5 {
			began := time.Now()
			if rest := without(members, members[:n-1]); len(rest) != 1 {
				t.Fatalf("%d are left", len(rest))
			}
			least = min(least, time.Since(began))
		}
		return least
	}
	if few, many := work(500), work(64*500); many > 1000*few {
		t.Errorf("500 members take %v, and 64 times as many %v", few, many)
	}
}
