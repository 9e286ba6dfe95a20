package broker

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// link is what one partition is subscribed to, over as many connections, one
// after the other, as it takes.
type link struct {
	// Fixed at birth.
	broker *Redis
	prefix string        // of the names of this partition
	trust  *trust        // of its histories
	born   time.Time     // the beginning of its clock
	wake   chan struct{} // there is something to do for the connection

	heard       atomic.Uint64 // what has arrived
	unconfirmed atomic.Int32  // subscribes of the batch that is under way; written with mu held

	// Guarded by mu.
	mu            sync.Mutex
	opened        bool
	err           error // why there is no connection; nil before the first attempt
	interrupt     context.CancelCauseFunc
	subscriptions map[string]*subscription // by Redis name
	joining       []string                 // to be subscribed on this connection, in this order
	restoring     int                      // the first of them, which the link had before
	marked        bool                     // the mark was sent behind those
	parting       []string                 // to be unsubscribed on this connection
	parted        map[string]int           // unsubscribes that Redis has not confirmed
	lingering     []lingerer               // the oldest first
	suspected     bool                     // somebody waited in vain
}

const (
	minBackoff = 50 * time.Millisecond
	maxBackoff = 5 * time.Second
)

func newLink(b *Redis, prefix string, t *trust) *link {
	return &link{
		broker:        b,
		prefix:        prefix,
		trust:         t,
		born:          time.Now(),
		wake:          make(chan struct{}, 1),
		subscriptions: make(map[string]*subscription),
	}
}

// run keeps a connection up from the first need of one until ctx ends.
func (l *link) run(ctx context.Context, r Receiver) {
	if !l.waitUntilOpened(ctx) {
		return
	}
	backoff := minBackoff
	for {
		c := &connection{link: l, receiver: r}
		err := l.broker.wall(func() error { return c.run(ctx) })
		if ctx.Err() != nil {
			l.fail(ctx.Err())
			return
		}
		l.fail(err)
		l.broker.board.lost(l, err)
		l.broker.topology.stale(ctx)
		if c.restored.Load() {
			backoff = minBackoff
		}
		if !sleep(ctx, backoff/2+rand.N(backoff)) {
			return
		}
		backoff = min(2*backoff, maxBackoff)
		if reconnect := l.broker.config.Observe.Reconnect; reconnect != nil {
			reconnect()
		}
	}
}

func (l *link) waitUntilOpened(ctx context.Context) bool {
	for {
		l.mu.Lock()
		opened := l.opened
		l.mu.Unlock()
		if opened {
			return true
		}
		select {
		case <-l.wake:
		case <-ctx.Done():
			return false
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// open says that a connection is needed.
func (l *link) open() {
	l.mu.Lock()
	l.opened = true
	l.mu.Unlock()
	l.poke()
}

// rebuild ends the present connection.
func (l *link) rebuild(reason error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.interrupt != nil {
		l.interrupt(reason)
	}
}

// suspect has the connection probed, since something waited in vain.
func (l *link) suspect() {
	l.mu.Lock()
	l.suspected = true
	l.mu.Unlock()
	l.poke()
}

func (l *link) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// begin readies the link for a new connection.
func (l *link) begin(interrupt context.CancelCauseFunc) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.interrupt = interrupt
	l.joining = l.joining[:0]
	l.parting, l.parted = nil, make(map[string]int)
	l.unconfirmed.Store(0)
	l.suspected = false
	for name, s := range l.subscriptions {
		s.sent = false
		l.joining = append(l.joining, name)
	}
	l.restoring, l.marked = len(l.joining), false
}

// fail says that there is no connection, and why. Subscriptions that were known
// stay, to be restored.
func (l *link) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.interrupt = nil
	l.err = err
	l.broker.losses.Add(1)
	for name, s := range l.subscriptions {
		switch {
		case !s.known():
			s.request.err = err
			s.request.settle()
			delete(l.subscriptions, name)
		case s.leaves != 0:
			delete(l.subscriptions, name)
		default:
			s.missed = true
		}
	}
	l.lingering = nil
}

// restore says that all that was subscribed when the connection began is so, and returns the
// channels of which something may have been missed, and why.
func (l *link) restore() (missed []string, reason error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	reason, l.err = l.err, nil
	for name, s := range l.subscriptions {
		if s.missed {
			s.missed = false
			missed = append(missed, name[len(l.prefix):])
		}
	}
	return missed, reason
}
