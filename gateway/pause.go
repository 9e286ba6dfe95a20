package gateway

import (
	"context"
	"math/rand/v2"
	"time"

	"tidegate/broker"
)

// await waits until done is closed; an error says that it was in vain.
func await(ctx context.Context, done <-chan struct{}, atMost time.Duration) error {
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

// pause waits, and reports whether ctx still lasts.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// backoff returns a random time that doubles with each attempt, up to 5 s.
func backoff(attempt int) time.Duration {
	most := min(50*time.Millisecond<<min(attempt, 10), 5*time.Second)
	return most/2 + rand.N(most/2)
}

func pauseUntil(ctx context.Context, t time.Time) bool {
	if d := time.Until(t); d > 0 {
		return pause(ctx, d)
	}
	return ctx.Err() == nil
}
