package broker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A node that has stood still does not take for the master who was it before.
func TestLooks_HoldForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLooks()
		patient := func(d time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			return l.wait(ctx)
		}
		if err := patient(time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("before the first look: %v", err)
		}
		l.over()
		time.Sleep(knownFor - 1)
		if err := patient(0); err != nil {
			t.Errorf("shortly before a look ends to hold: %v", err)
		}
		time.Sleep(time.Nanosecond)
		time.AfterFunc(time.Second/2, l.over)
		began := time.Now()
		if err := patient(time.Second); err != nil || time.Since(began) != time.Second/2 {
			t.Errorf("when it has ended to hold: %v, %v later", err, time.Since(began))
		}
	})
}
