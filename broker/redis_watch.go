package broker

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// watch is where the parts of the broker say what went wrong, and how long Redis took.
// All methods may be called concurrently.
type watch struct {
	// Fixed at birth.
	log      *slog.Logger
	observe  RedisObserver
	refusals *refusals
	wake     chan struct{} // the masters may be others

	losses atomic.Int64 // of links, so far
}

func newWatch(log *slog.Logger, observe RedisObserver) *watch {
	return &watch{log: log, observe: observe, refusals: newRefusals(log, observe.Refused), wake: make(chan struct{}, 1)}
}

// wall calls f. If f panics it is not the process that ends, but what f did: the
// panic is counted, logged with its stack and returned.
func (w *watch) wall(f func() error) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("panic: %v", reason)
			w.log.Error("panic in the redis broker", "error", err, "stack", string(debug.Stack()))
			if w.observe.Panic != nil {
				w.observe.Panic()
			}
		}
	}()
	return f()
}

// stale says that something proved wrong: the masters may be others.
func (w *watch) stale() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// roundTrip says that one has ended.
func (w *watch) roundTrip(start time.Time) {
	if w.observe.RoundTrip != nil {
		w.observe.RoundTrip(time.Since(start))
	}
}
