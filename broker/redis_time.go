package broker

import (
	"context"
	"time"
)

// Time limits for answers of Redis.
const (
	answerTimeout = 900 * time.Millisecond
	readTimeout   = 1500 * time.Millisecond
)

// sleep waits for d. It returns false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
