package wall

import "tidegate/broker/lock"

// Group waits for goroutines. Unlike with sync.WaitGroup, Go may be called during and after
// Wait. All methods are safe for concurrent use.
type Group struct {
	Wall *Wall // catches panics of the goroutines

	mu      lock.Mutex[lock.Group]
	running int
	done    chan struct{}
}

// Go runs f in a new goroutine and catches its panic.
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

// Wait blocks until no goroutine of the group is running.
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
