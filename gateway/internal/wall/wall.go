// Package wall limits the effect of a panic to one session, one message or one background
// task. The node goes on.
package wall

import (
	"fmt"
	"log/slog"
	"runtime/debug"
)

// Wall counts and logs panics. A nil *Wall only recovers them. All methods are safe
// for concurrent use.
type Wall struct {
	Log   *slog.Logger
	Count func() // called once for each panic; may be nil
}

// Catch recovers a panic of the function that defers it, and then calls ended, which cleans
// up after the panic and may be nil. Catch must be deferred directly, or it recovers nothing:
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

// Report counts and logs a panic that the caller has recovered, with the caller's stack.
func (w *Wall) Report(doing string, value any) {
	if w == nil {
		return
	}
	if w.Count != nil {
		w.Count()
	}
	w.Log.Error("panic", "doing", doing, "panic", fmt.Sprint(value), "stack", string(debug.Stack()))
}

// Do calls f and recovers its panic. It reports whether f returned normally.
func (w *Wall) Do(doing string, f func()) (returned bool) {
	defer w.Catch(doing, nil)
	f()
	return true
}
