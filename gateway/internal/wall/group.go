package wall

import "tidegate/broker/lock"

// Group is goroutines that are waited for together. Unlike a WaitGroup's, its Go
// may be called while Wait waits, or after. All methods may be called concurrently.
type Group struct {
	Wall *Wall // catches their panics

	mu      lock.Mutex[lock.Group]
	running int
	done    chan struct{}
}

// Go runs f in a goroutine of the group, whose panic is caught.
func (w *Group) Go(f func()) {
	w.mu.Lock()
	w.running++
	w.mu.Unlock()
	go func() {
		defer w.leave()
		defer w.Wall.Catch("work in the background", nil)
		f()
	}()
}

func (w *Group) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running--
	if w.running == 0 && w.done != nil {
		close(w.done)
		w.done = nil
	}
}

// Wait returns once no goroutine of the group runs.
func (w *Group) Wait() {
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
