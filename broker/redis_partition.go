package broker

import (
	"sync/atomic"
	"time"

	"tidegate/broker/lock"
)

// partition is the channels of one hash. It keeps what is subscribed of them, over
// as many links as it takes, one after the other; and it publishes on them.
type partition struct {
	// Fixed at birth.
	broker *Redis
	index  int
	prefix string    // of the Redis names of its channels
	born   time.Time // the beginning of its clock
	lane   *lane
	sure   *lane  // of what replicas have to confirm: the others do not wait for them
	trust  *trust // one for all partitions outside of a Cluster

	carrier atomic.Pointer[link] // nil: none. Written with mu held.

	// Held while the Receiver is told of its channels, so that no two links do so
	// at once. Taken before mu.
	telling lock.Mutex[lock.Telling]

	// Guarded by mu.
	mu            lock.Mutex[lock.Partition]
	err           error                    // why nothing can be subscribed; nil before the first attempt
	lost          error                    // why the last connection ended
	connected     bool                     // a connection of the carrier's subscribes it
	life          uint64                   // counts the times that one began to
	subscriptions map[string]*subscription // by Redis name
	joining       []string                 // to be subscribed on this connection, in this order
	restoring     int                      // the first of them, which were there before it
	restored      bool                     // those are subscribed
	unconfirmed   int                      // subscribes of the batch that is under way
	parting       []string                 // to be unsubscribed on this connection
	lingering     []lingerer               // the oldest first
}

func newPartition(b *Redis, index int) *partition {
	p := &partition{
		broker:        b,
		index:         index,
		prefix:        b.prefixOf(index),
		born:          time.Now(),
		trust:         &trust{},
		subscriptions: make(map[string]*subscription),
	}
	if !b.clustered && index > 0 {
		p.trust = b.partitions[0].trust
	}
	p.lane, p.sure = newLane(b, p), newLane(b, p)
	return p
}

// subscribes reports whether a link has a connection that subscribes the
// partition. It is called with mu held.
func (p *partition) subscribes(by *link) bool { return p.connected && p.carrier.Load() == by }

// carry has a link subscribe the partition from now on, and no other; nil: none
// can, because of err. Only follow calls it.
func (p *partition) carry(l *link, err error) {
	before := p.carrier.Load()
	if before != l {
		p.handOver(l, err)
		if before != nil {
			before.drop(p)
		}
		if l != nil {
			l.take(p)
		}
	}
	if l == nil {
		p.broker.board.lost(part{partition: p}, err)
	}
}

func (p *partition) handOver(l *link, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.carrier.Load() != nil {
		p.disconnect(err)
	}
	p.carrier.Store(l)
}

// begin readies the partition for a connection of a link, or for another attempt
// on it.
func (p *partition) begin(by *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.connected || p.carrier.Load() != by {
		return
	}
	p.connected = true
	p.life++
	p.joining = p.joining[:0]
	p.parting = nil
	p.unconfirmed = 0
	for name, s := range p.subscriptions {
		s.sent = false
		p.joining = append(p.joining, name)
	}
	p.restoring, p.restored = len(p.joining), false
}

// fail says that a link does not subscribe the partition any more, and why. It
// reports whether the partition is the link's.
func (p *partition) fail(by *link, err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.carrier.Load() != by {
		return false
	}
	p.disconnect(err)
	return true
}

// disconnect notes what was lost with a connection. Subscriptions that were known
// stay, to be restored. It is called with mu held.
func (p *partition) disconnect(err error) {
	p.broker.losses.Add(1)
	p.connected = false
	p.err, p.lost = err, err
	for name, s := range p.subscriptions {
		switch {
		case !s.known():
			s.request.err = err
			s.request.countDown()
			delete(p.subscriptions, name)
		case s.leaves != 0:
			delete(p.subscriptions, name)
		default:
			s.missed = true
		}
	}
	p.lingering = nil
}

// late says that the link does not answer for now: who wants to subscribe need not
// wait to find that out. Without err it answers again. It reports whether the
// state of the partition is another one now.
func (p *partition) late(by *link, err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.subscribes(by) || !p.restored {
		return false
	}
	p.err = err
	return true
}

// answersAll reports whether the link subscribes the partition, and Redis answers to it.
func (p *partition) answersAll() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.restored && p.connected && p.err == nil
}

// restore tells, once all that was subscribed before the connection is so again,
// of which channels something may have been missed. It reports whether it did so
// now.
func (p *partition) restore(by *link, r Receiver) bool {
	p.telling.Lock()
	defer p.telling.Unlock()
	missed, reason, now := p.takeMissed(by)
	if len(missed) > 0 {
		r.Gap(missed, reason)
	}
	return now
}

func (p *partition) takeMissed(by *link) (missed []string, reason error, restored bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.subscribes(by) || p.restored || p.restoring > 0 || p.unconfirmed > 0 {
		return nil, nil, false
	}
	p.restored, p.err = true, nil
	for name, s := range p.subscriptions {
		if s.missed {
			s.missed = false
			missed = append(missed, name[len(p.prefix):])
		}
	}
	return missed, p.lost, true
}

// receive tells of a message, if the link is the one that carries the partition.
func (p *partition) receive(by *link, r Receiver, m Message) {
	p.telling.Lock()
	defer p.telling.Unlock()
	if p.carrier.Load() == by {
		r.Receive(m)
	}
}

// suspect has the link probed, since something waited in vain.
func (p *partition) suspect() {
	if l := p.carrier.Load(); l != nil {
		l.suspect()
	}
}

// answers counts what Redis has answered to the link.
func (p *partition) answers() uint64 {
	if l := p.carrier.Load(); l != nil {
		return l.answers.Load()
	}
	return 0
}

// poke says that there is something to send.
func (p *partition) poke() {
	if l := p.carrier.Load(); l != nil {
		l.poke()
	}
}
