package broker

import (
	"context"
	"errors"
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
	wake   chan struct{} // there is something to do for the connection

	unconfirmed atomic.Int32 // subscribes of the batch that is under way; written with mu held

	// Guarded by mu.
	mu            sync.Mutex
	opened        bool
	err           error // why there is no connection; nil before the first attempt
	interrupt     context.CancelCauseFunc
	subscriptions map[string]*subscription // by Redis name
	joining       []string                 // to be subscribed on this connection
	parting       []string                 // to be unsubscribed on this connection
	parted        map[string]int           // unsubscribes that Redis has not confirmed
	lingering     []lingerer               // the oldest first
	suspected     bool                     // somebody waited in vain
}

// subscription is one channel of a link.
type subscription struct {
	sent    bool          // on this connection
	known   bool          // a Subscribe has returned
	missed  bool          // was known when a connection was lost: a gap is to be told
	leaves  time.Time     // when it ends, if nobody subscribes again; or zero
	settled chan struct{} // closed when known, or failed
	err     error         // why it failed
}

type lingerer struct {
	name   string
	leaves time.Time
}

const (
	subscribeBatch = 1000
	minBackoff     = 50 * time.Millisecond
	maxBackoff     = 5 * time.Second
)

func newLink(b *Redis, prefix string) *link {
	return &link{
		broker:        b,
		prefix:        prefix,
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
		err := c.run(ctx)
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

// subscribe returns once Redis has confirmed.
func (l *link) subscribe(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s, settled, err := l.join(name)
	if err != nil || settled == nil {
		return err
	}
	timer := time.NewTimer(answerTimeout)
	defer timer.Stop()
	select {
	case <-settled:
		return s.err
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = errNoAnswer
		l.suspect()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.subscriptions[name] == s {
		l.part(name)
	}
	return err
}

// join returns the subscription, and what to wait for if Redis has not
// confirmed it.
func (l *link) join(name string) (*subscription, chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return nil, nil, l.err
	}
	defer l.poke()
	l.opened = true
	s := l.subscriptions[name]
	if s == nil {
		s = &subscription{settled: make(chan struct{})}
		l.subscriptions[name] = s
		l.joining = append(l.joining, name)
	}
	s.leaves = time.Time{}
	return s, s.settled, nil
}

// unsubscribe ends a subscription after the linger.
func (l *link) unsubscribe(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.subscriptions[name]
	if s == nil || !s.leaves.IsZero() {
		return
	}
	s.leaves = time.Now().Add(l.broker.config.Linger)
	l.lingering = append(l.lingering, lingerer{name, s.leaves})
}

// endLingering parts with the subscriptions that nobody came back to.
func (l *link) endLingering(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for n < len(l.lingering) && !l.lingering[n].leaves.After(now) {
		one := l.lingering[n]
		if s := l.subscriptions[one.name]; s != nil && s.leaves.Equal(one.leaves) {
			l.part(one.name)
		}
		n++
	}
	l.lingering = l.lingering[n:]
}

// part ends a subscription now. It is called with mu held.
func (l *link) part(name string) {
	s := l.subscriptions[name]
	delete(l.subscriptions, name)
	if s.sent {
		l.parting = append(l.parting, name)
		l.poke()
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
}

// fail says that there is no connection, and why. Subscriptions that were known
// stay, to be restored.
func (l *link) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.interrupt = nil
	l.err = err
	for name, s := range l.subscriptions {
		switch {
		case !s.known:
			s.err = err
			close(s.settled)
			delete(l.subscriptions, name)
		case !s.leaves.IsZero():
			delete(l.subscriptions, name)
		default:
			s.missed = true
		}
	}
	l.lingering = nil
}

// restore says that all that was subscribed is so again, and returns the
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

// nextBatch takes what is to be sent to Redis now. Subscribes are taken when
// all before them are confirmed, so that those of many callers meet in one.
func (l *link) nextBatch() (join, part []string, probe bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	probe, l.suspected = l.suspected, false
	part, l.parting = l.parting, nil
	for _, name := range part {
		l.parted[name]++
	}
	if l.unconfirmed.Load() > 0 {
		return nil, part, probe
	}
	for len(l.joining) > 0 && len(join) < subscribeBatch {
		name := l.joining[0]
		l.joining = l.joining[1:]
		if s := l.subscriptions[name]; s != nil && !s.sent {
			s.sent = true
			join = append(join, name)
		}
	}
	l.unconfirmed.Store(int32(len(join)))
	return join, part, probe
}

var errUnsubscribed = errors.New("redis ended a subscription by itself")

// confirmed takes Redis's word that the subscriptions of a batch have begun.
func (l *link) confirmed(names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unconfirmed.Store(0)
	l.poke()
	for _, name := range names {
		if s := l.subscriptions[name]; s != nil && s.sent && !s.known {
			s.known = true
			close(s.settled)
			s.settled = nil
		}
	}
}

// ended takes Redis's word that a subscription has ended. If nobody asked for
// that, its slot has moved.
func (l *link) ended(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.parted[name] == 0 {
		return errUnsubscribed
	}
	if l.parted[name]--; l.parted[name] == 0 {
		delete(l.parted, name)
	}
	return nil
}

// allConfirmed reports whether Redis has confirmed all that is to be subscribed.
func (l *link) allConfirmed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unconfirmed.Load() == 0 && len(l.joining) == 0
}
