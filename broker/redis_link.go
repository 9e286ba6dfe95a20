package broker

import (
	"context"
	"errors"

	"tidegate/broker/lock"
)

// link subscribes partitions at one server. It opens one connection after another, as
// needed.
type link struct {
	*carrier

	// Immutable after construction.
	servers *servers
	board   *board
	address string
	end     context.CancelCauseFunc

	// Guarded by mu, which must be taken before a partition's mu.
	mu        lock.Mutex[lock.Link]
	connected bool
}

func newLink(s *servers, b *board, address string, end context.CancelCauseFunc) *link {
	return &link{carrier: &carrier{wake: newWake()}, servers: s, board: b, address: address, end: end}
}

// connect prepares all partitions for a new connection.
func (l *link) connect() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.connected = true
	l.suspected.Store(false)
	for _, p := range l.carried() {
		p.begin(l.carrier)
	}
}

// disconnect says that the connection is lost, because of err.
func (l *link) disconnect(err error) {
	l.mu.Lock()
	l.connected = false
	l.mu.Unlock()
	for _, p := range l.carried() {
		l.fail(p, err)
	}
}

// fail says that a partition is no longer subscribed, because of err.
func (l *link) fail(p *partition, err error) {
	if p.fail(l.carrier, err) {
		l.board.lost(part{partition: p}, err)
	}
}

// carried returns the partitions of the link.
func (l *link) carried() (list []*partition) {
	for _, p := range l.board.all {
		if p.carrier.Load() == l.carrier {
			list = append(list, p)
		}
	}
	return list
}

// take subscribes a partition that was handed over to the link.
func (l *link) take(p *partition) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.connected {
		p.begin(l.carrier)
		l.poke()
	}
}

// retry subscribes again the partitions that Redis has refused.
func (l *link) retry() {
	for _, p := range l.carried() {
		p.retry(l.carrier)
	}
}

// late says that Redis does not answer, because of err, or with nil that it answers again.
func (l *link) late(err error) {
	for _, p := range l.carried() {
		switch changed := p.late(l.carrier, err); {
		case changed && err != nil:
			l.board.lost(part{partition: p}, err)
		case changed:
			l.board.up(part{partition: p})
		}
	}
}

var errMoved = errors.New("the master moved")
