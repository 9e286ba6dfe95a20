package broker

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// watch collects failures and round-trip times from the parts of the broker. All methods
// are safe for concurrent use.
type watch struct {
	// Immutable after construction.
	log      *slog.Logger
	observe  RedisObserver
	refusals *refusals
	changed  wake // the masters may have changed

	losses atomic.Int64 // number of lost links so far
}

func newWatch(log *slog.Logger, observe RedisObserver) *watch {
	return &watch{log: log, observe: observe, refusals: newRefusals(log, observe.Refused), changed: newWake()}
}

// wall calls f. If f panics, wall counts the panic, logs it with its stack and returns it
// as an error, so that the process goes on.
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

// stale says that something has failed and the masters may have changed.
func (w *watch) stale() { w.changed.poke() }

// roundTrip records the end of a round trip that began at start.
func (w *watch) roundTrip(start time.Time) {
	if w.observe.RoundTrip != nil {
		w.observe.RoundTrip(time.Since(start))
	}
}
