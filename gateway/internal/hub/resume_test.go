package hub

import (
	"fmt"
	"testing"

	"tidegate/gateway/internal/attendance"
)

func TestWithout(t *testing.T) {
	alice, bob, desk, phone := attendance.Who{User: "alice"}, attendance.Who{User: "bob"}, attendance.Who{User: "bob", Session: "desk"}, attendance.Who{User: "bob", Session: "phone"}
	got := without([]attendance.Who{alice, bob, desk, phone}, []attendance.Who{desk, alice, {User: "carol"}})
	if len(got) != 2 || got[0].Session != "" || got[0].User != "bob" || got[1].Session != "phone" {
		t.Errorf("left are %+v, want bob and his phone", got)
	}
}

// The time per member stays about the same.
func BenchmarkWithout(b *testing.B) {
	for _, n := range []int{500, 64 * 500} {
		members := make([]attendance.Who, n)
		for i := range members {
			members[i].User = fmt.Sprint("user", i)
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				without(members, members[:n-1])
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/member")
		})
	}
}
