package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"
)

// backoff computes the pause before the next attempt to connect.
type backoff struct {
	config    *Config
	failures  int
	connected bool // has been connected at least once
}

// wait sleeps for a random duration, whose upper bound doubles with each call. This spreads
// the clients of a node that has ended.
func (b *backoff) wait(ctx context.Context) error {
	span := min(b.config.RetryDelay<<min(b.failures, 16), b.config.MaxRetryDelay)
	b.failures++
	return sleep(ctx, rand.N(span)+1)
}

// lost records that a link has ended that was created at born. If it lasted for
// MaxRetryDelay, the delay starts from the beginning.
func (b *backoff) lost(born time.Time) {
	if time.Since(born) >= b.config.MaxRetryDelay {
		b.failures = 0
	}
}

// forgives reports whether to retry after a refused handshake. Once a client has been
// accepted, a stray answer of a proxy does not end it.
func (b *backoff) forgives(refusal error) bool {
	r, ok := errors.AsType[*Refusal](refusal)
	return ok && b.connected && r.Code != http.StatusUnauthorized && r.Code != http.StatusForbidden
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// spread returns a random duration from a tenth of d up to d.
func spread(d time.Duration) time.Duration { return d/10 + rand.N(d*9/10) }
