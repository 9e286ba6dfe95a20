package broker

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
)

func TestFlights_WhoComesMeanwhileSharesTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g flights[string, int]
		calls := 0
		release := make(chan struct{})
		fly := func() (int, error) {
			calls++
			n := calls
			<-release
			return n, nil
		}
		var wait sync.WaitGroup
		ask := func(want int) {
			wait.Go(func() {
				if got, err := g.do(t.Context(), "a", fly); got != want || err != nil {
					t.Errorf("got the answer of call %d, %v; want that of %d", got, err, want)
				}
			})
		}
		ask(1)
		synctest.Wait()
		for range 100 {
			ask(2) // the first may have looked before these came
		}
		synctest.Wait()
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := g.do(ended, "a", fly); !errors.Is(err, context.Canceled) {
			t.Errorf("with an ended context: %v", err)
		}
		close(release)
		wait.Wait()
		synctest.Wait()
		g.mu.Lock()
		defer g.mu.Unlock()
		if calls != 2 || len(g.under) != 0 {
			t.Errorf("%d calls, %d under way", calls, len(g.under))
		}
	})
}
