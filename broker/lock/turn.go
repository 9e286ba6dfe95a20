package lock

import "sync"

// turn is a mutex that may be held while its holder waits for others. Who waits for it
// waits for a condition: in a test with virtual time a goroutine that waits for a mutex
// keeps that time from going on. The zero value is nobody's.
type turn struct {
	// Guarded by mu.
	mu    sync.Mutex
	held  bool
	freed *sync.Cond // nil: nobody has waited
}

func (t *turn) Lock() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.held {
		if t.freed == nil {
			t.freed = sync.NewCond(&t.mu)
		}
		t.freed.Wait()
	}
	t.held = true
}

func (t *turn) Unlock() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held = false
	if t.freed != nil {
		t.freed.Signal()
	}
}
