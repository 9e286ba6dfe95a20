// Package wall keeps a panic to what it is about: one session, one message, one
// piece of background work. The node lives on.
package wall

import (
	"fmt"
	"log/slog"
	"runtime/debug"
)

// Wall counts and logs panics. A nil *Wall only stops them. All methods may be
// called concurrently.
type Wall struct {
	Log   *slog.Logger
	Count func() // called once for each panic; nil: nobody counts
}

// Catch stops a panic of the function that defers it, and then calls ended, which
// puts an end to what the panic has left half done; nil: there is nothing to end.
// It must be deferred directly, or it catches nothing:
//
//	defer w.Catch("write to a session", func() { s.Close(Failed) })
func (w *Wall) Catch(doing string, ended func()) {
	if value := recover(); value != nil {
		w.Report(doing, value)
		if ended != nil {
			w.Do(doing, ended)
		}
	}
}

// Report counts and logs a panic that the caller has recovered, with the stack of
// the caller.
func (w *Wall) Report(doing string, value any) {
	if w == nil {
		return
	}
	if w.Count != nil {
		w.Count()
	}
	w.Log.Error("panic", "doing", doing, "panic", fmt.Sprint(value), "stack", string(debug.Stack()))
}

// Do calls f, and catches its panic. It reports whether f returned.
func (w *Wall) Do(doing string, f func()) (returned bool) {
	defer w.Catch(doing, nil)
	f()
	return true
}
