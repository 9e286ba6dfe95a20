package broker

import (
	"context"
	"time"
)

// How long Redis has to answer.
const (
	answerTimeout = 900 * time.Millisecond
	readTimeout   = 1500 * time.Millisecond
)

// sleep reports whether d has passed before ctx ended.
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
