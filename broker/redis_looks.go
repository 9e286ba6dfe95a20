package broker

import (
	"context"
	"tidegate/broker/lock"
	"time"
)

// looks are those that there have been at where the masters are.
type looks struct {
	// Guarded by mu.
	mu   lock.Mutex[lock.Masters]
	last time.Time     // zero: there was none
	next chan struct{} // closed when the next one is over
}

func newLooks() *looks { return &looks{next: make(chan struct{})} }

// over says that a look is.
func (l *looks) over() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.next)
	l.last, l.next = time.Now(), make(chan struct{})
}

// knownFor is how long a look holds. There is one a second: a node that has had none for
// longer has stood still, and another server may be the master by now.
const knownFor = 3 * time.Second

// wait returns when there has been a look that holds.
func (l *looks) wait(ctx context.Context) error {
	for {
		l.mu.Lock()
		known, next := !l.last.IsZero() && time.Since(l.last) < knownFor, l.next
		l.mu.Unlock()
		if known {
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
