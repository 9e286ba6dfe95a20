// Package pause waits: for a duration, until a time, or for an event with a time limit.
package pause

import (
	"context"
	"math/rand/v2"
	"time"

	"tidegate/broker"
)

// For waits for d and returns true, or returns false as soon as ctx ends.
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

// Until is like For but waits until t.
func Until(ctx context.Context, t time.Time) bool {
	if d := time.Until(t); d > 0 {
		return For(ctx, d)
	}
	return ctx.Err() == nil
}

// Await waits until done is closed or signaled and returns nil. If ctx ends first, it returns ctx's
// error; after atMost, it returns broker.ErrUnavailable.
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

// Backoff returns how long to wait after a number of failed attempts: a random duration
// whose upper bound doubles with each attempt, up to 5 s.
func Backoff(attempts int) time.Duration {
	most := min(50*time.Millisecond<<min(attempts, 10), 5*time.Second)
	return most/2 + rand.N(most/2)
}
