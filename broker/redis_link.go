package broker

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"tidegate/broker/lock"
)

// link subscribes partitions at one server, over as many connections, one after
// the other, as it takes.
type link struct {
	// Fixed at birth.
	broker   *Redis
	receiver Receiver
	address  string
	wake     chan struct{} // there is something to do for the connection
	end      context.CancelCauseFunc

	answers atomic.Uint64 // what Redis has answered to commands

	// Guarded by mu, which is taken before a partition's.
	mu         lock.Mutex[lock.Link]
	connected  bool
	partitions map[*partition]struct{}
	suspected  bool // somebody waited in vain
}

const (
	minBackoff = 50 * time.Millisecond
	maxBackoff = 5 * time.Second
)

func newLink(b *Redis, r Receiver, address string, end context.CancelCauseFunc) *link {
	return &link{
		broker:     b,
		receiver:   r,
		address:    address,
		wake:       make(chan struct{}, 1),
		end:        end,
		partitions: make(map[*partition]struct{}),
	}
}

// run keeps a connection up until ctx ends.
func (l *link) run(ctx context.Context) {
	backoff := minBackoff
	for {
		c := &connection{link: l}
		err := l.broker.wall(func() error { return c.run(ctx) })
		if ctx.Err() != nil {
			l.disconnect(context.Cause(ctx))
			return
		}
		l.disconnect(err)
		l.broker.stale()
		if c.restored.Load() {
			backoff = minBackoff
		}
		if !sleep(ctx, backoff/2+rand.N(backoff)) {
			l.disconnect(context.Cause(ctx))
			return
		}
		backoff = min(2*backoff, maxBackoff)
		if reconnect := l.broker.config.Observe.Reconnect; reconnect != nil {
			reconnect()
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

// connect readies all partitions for a new connection.
func (l *link) connect() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.connected, l.suspected = true, false
	for p := range l.partitions {
		p.begin(l)
	}
}

// disconnect says that there is no connection, and why.
func (l *link) disconnect(err error) {
	l.mu.Lock()
	l.connected = false
	l.mu.Unlock()
	for _, p := range l.carried() {
		l.fail(p, err)
	}
}

// fail says that one of the partitions is not subscribed any more, and why.
func (l *link) fail(p *partition, err error) {
	if p.fail(l, err) {
		l.broker.board.lost(part{partition: p}, err)
	}
}

// carried returns the partitions.
func (l *link) carried() []*partition {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.partitions))
}

// take has the link subscribe a partition.
func (l *link) take(p *partition) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.partitions[p] = struct{}{}
	if l.connected {
		p.begin(l)
		l.poke()
	}
}

// drop parts with a partition, and ends with the last. What the server still sends
// of it is not received.
func (l *link) drop(p *partition) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.partitions, p)
	if len(l.partitions) == 0 {
		l.end(errMoved)
	}
}

// retry begins anew with the partitions that Redis refused.
func (l *link) retry() {
	for _, p := range l.carried() {
		p.begin(l)
	}
}

// late says of all partitions whether Redis answers.
func (l *link) late(err error) {
	for _, p := range l.carried() {
		switch changed := p.late(l, err); {
		case changed && err != nil:
			l.broker.board.lost(part{partition: p}, err)
		case changed:
			l.broker.board.up(part{partition: p})
		}
	}
}

// suspect has the connection probed, since something waited in vain.
func (l *link) suspect() {
	l.mu.Lock()
	l.suspected = true
	l.mu.Unlock()
	l.poke()
}

func (l *link) takeSuspicion() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	suspected := l.suspected
	l.suspected = false
	return suspected
}

func (l *link) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

var errMoved = errors.New("the master moved")
