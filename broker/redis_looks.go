package broker

import (
	"context"
	"tidegate/broker/lock"
	"time"
)

// looks records when the last look for the masters was.
type looks struct {
	// Guarded by mu.
	mu   lock.Mutex[lock.Masters]
	last time.Time     // zero if there was none
	next chan struct{} // closed when the next look is over
}

func newLooks() *looks { return &looks{next: make(chan struct{})} }

// over says that a look has just ended.
func (l *looks) over() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.next)
	l.last, l.next = time.Now(), make(chan struct{})
}

// knownFor is how long the result of a look is valid. There is a look every second: a node
// that has had none for longer was stopped, and another server may be the master by now.
const knownFor = 3 * time.Second

// wait returns once there is a valid look. If ctx ends first it returns its error.
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
