package broker

import (
	"context"
	"errors"
	"maps"
	"slices"

	"tidegate/broker/lock"
)

// link subscribes partitions at one server, over as many connections, one after
// the other, as it takes.
type link struct {
	*carrier

	// Fixed at birth.
	servers *servers
	board   *board
	address string
	end     context.CancelCauseFunc

	// Guarded by mu, which is taken before a partition's.
	mu         lock.Mutex[lock.Link]
	connected  bool
	partitions map[*partition]struct{}
}

func newLink(s *servers, b *board, address string, end context.CancelCauseFunc) *link {
	return &link{
		carrier:    &carrier{wake: make(chan struct{}, 1)},
		servers:    s,
		board:      b,
		address:    address,
		end:        end,
		partitions: make(map[*partition]struct{}),
	}
}

// connect readies all partitions for a new connection.
func (l *link) connect() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.connected = true
	l.suspected.Store(false)
	for p := range l.partitions {
		p.begin(l.carrier)
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
	if p.fail(l.carrier, err) {
		l.board.lost(part{partition: p}, err)
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
		p.begin(l.carrier)
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
		p.begin(l.carrier)
	}
}

// late says of all partitions whether Redis answers.
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
