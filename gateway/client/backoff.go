package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"
)

// backoff says how long to wait before the next attempt to connect.
type backoff struct {
	config    *Config
	failures  int
	connected bool // at least once
}

// wait sleeps a random part of a span that doubles from call to call, so that
// the clients of a node that ended do not come back as one.
func (b *backoff) wait(ctx context.Context) error {
	span := min(b.config.RetryDelay<<min(b.failures, 16), b.config.MaxRetryDelay)
	b.failures++
	return sleep(ctx, rand.N(span)+1)
}

// lost takes note that a link which was born then has ended. One that held for a while was a success.
func (b *backoff) lost(born time.Time) {
	if time.Since(born) >= b.config.MaxRetryDelay {
		b.failures = 0
	}
}

// forgives reports whether to go on after a refused handshake: where the client
// has been welcome, a stray answer of a proxy does not end it.
func (b *backoff) forgives(refusal error) bool {
	var r *Refusal
	if !b.connected || !errors.As(refusal, &r) {
		return false
	}
	return r.Code != http.StatusUnauthorized && r.Code != http.StatusForbidden
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// spread returns about half of d, and never next to nothing.
func spread(d time.Duration) time.Duration { return d/10 + rand.N(d*9/10) }
