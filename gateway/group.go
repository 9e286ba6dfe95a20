package gateway

import "sync"

// group is goroutines that are waited for together. Unlike a WaitGroup's, its
// Go may be called while Wait waits, or after.
type group struct {
	mu      sync.Mutex
	running int
	done    chan struct{}
}

// Go runs f in a goroutine of the group.
func (w *group) Go(f func()) {
	w.mu.Lock()
	w.running++
	w.mu.Unlock()
	go func() {
		defer w.leave()
		f()
	}()
}

func (w *group) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running--
	if w.running == 0 && w.done != nil {
		close(w.done)
		w.done = nil
	}
}

// Wait returns once no goroutine of the group runs.
func (w *group) Wait() {
	w.mu.Lock()
	if w.running == 0 {
		w.mu.Unlock()
		return
	}
	if w.done == nil {
		w.done = make(chan struct{})
	}
	done := w.done
	w.mu.Unlock()
	<-done
}
