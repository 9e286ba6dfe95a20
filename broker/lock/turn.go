package lock

import "sync"

// turn is a mutex that may be held while its holder waits for others. Goroutines wait for
// it on a condition variable: in a test with virtual time (testing/synctest), a goroutine
// that waits for a sync.Mutex keeps the time from advancing. The zero value is unlocked.
type turn struct {
	// Guarded by mu.
	mu    sync.Mutex
	held  bool
	freed *sync.Cond // nil if nobody has waited yet
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
