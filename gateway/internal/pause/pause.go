// Package pause waits: for a time, until a time, or for something that may not come.
package pause

import (
	"context"
	"math/rand/v2"
	"time"

	"tidegate/broker"
)

// For waits, and reports whether ctx still lasts.
func For(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// Until is For that ends at a time.
func Until(ctx context.Context, t time.Time) bool {
	if d := time.Until(t); d > 0 {
		return For(ctx, d)
	}
	return ctx.Err() == nil
}

// Await waits until done is closed: nil. The error is broker.ErrUnavailable if that takes
// longer than atMost, or ctx's.
func Await(ctx context.Context, done <-chan struct{}, atMost time.Duration) error {
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return broker.ErrUnavailable
	}
}

// Backoff returns how long to wait after a number of attempts that failed: a random time
// that doubles with each, up to 5 s.
func Backoff(attempts int) time.Duration {
	most := min(50*time.Millisecond<<min(attempts, 10), 5*time.Second)
	return most/2 + rand.N(most/2)
}
