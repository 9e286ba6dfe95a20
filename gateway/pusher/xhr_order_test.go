package pusher

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// newOrder returns an order and a function that returns what it has passed on.
func newOrder() (o *order, passed func() string) {
	var list []string
	o = &order{patience: orderPatience, room: &space{most: 1 << 20}, pass: func(frame []byte) { list = append(list, string(frame)) }}
	return o, func() string {
		o.mu.Lock()
		defer o.mu.Unlock()
		return strings.Join(list, " ")
	}
}

func (o *order) says(numbers ...uint64) {
	for _, number := range numbers {
		o.add(number, fmt.Append(nil, number))
	}
}

func TestOrder_WaitsForWhatWasOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, passed := newOrder()
		o.seen(5)
		o.says(6, 9, 8)
		if got := passed(); got != "6" {
			t.Errorf("passed %s", got)
		}
		o.seen(7) // a poll
		o.says(10, 0, 10)
		if got := passed(); got != "6 8 9 10 0 10" {
			t.Errorf("passed %s", got)
		}
	})
}

func TestOrder_DoesNotWaitForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, passed := newOrder()
		o.says(1)
		for number := uint64(3); number <= 7; number += 2 { // the other numbers belong to another client
			o.says(number)
			if got := passed(); strings.Contains(got, fmt.Sprint(number)) {
				t.Errorf("passed %s at once", got)
			}
			time.Sleep(orderPatience)
			synctest.Wait()
		}
		o.says(9, 11)
		if got := passed(); got != "1 3 5 7 9 11" {
			t.Errorf("passed %s", got)
		}
		o.says(10, 13) // 10 was overtaken after all, so requests wait again
		if got := passed(); got != "1 3 5 7 9 11 10" {
			t.Errorf("passed %s", got)
		}
		o.stop()
	})
}

func TestOrder_IsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, passed := newOrder()
		o.says(1)
		for number := uint64(3); number <= 3+mostWaiting; number++ {
			o.says(number)
		}
		if got := passed(); !strings.HasSuffix(got, fmt.Sprint(3+mostWaiting)) {
			t.Errorf("passed %s", got)
		}
		o.add(100, make([]byte, boxBytes+1))
		if got := passed(); len(got) < boxBytes {
			t.Errorf("passed %s", got)
		}
	})
}

// Every request is passed on exactly once, in whatever order the requests arrive.
func TestOrder_LosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 200 {
			o, passed := newOrder()
			var want []string
			for range 100 {
				number := rand.Uint64N(150)
				if number%5 == 1 {
					o.seen(number)
					continue
				}
				want = append(want, fmt.Sprint(number))
				o.says(number)
			}
			time.Sleep(orderPatience)
			synctest.Wait()
			got := strings.Fields(passed())
			slices.Sort(want)
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Fatalf("passed %v, want %v", got, want)
			}
		}
	})
}

func TestOrder_HoldsOfTheNodesRoomWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, passed := newOrder()
		all := &space{most: 3}
		o.room = all
		o.says(1, 3, 4, 5)
		if all.taken != 3 {
			t.Errorf("%d bytes are taken, want the 3 that wait", all.taken)
		}
		o.says(7) // there is no room for it
		if got := passed(); got != "1 3 4 5 7" || all.taken != 0 {
			t.Errorf("passed %s, and %d bytes are taken", got, all.taken)
		}
		o.says(9)
		o.stop()
		if all.taken != 0 {
			t.Errorf("%d bytes are taken when all is over", all.taken)
		}
	})
}
