package broker

import (
	"context"
	"sync/atomic"
	"time"

	"tidegate/broker/lock"
)

// partition is the set of channels with one hash. It keeps their subscriptions while links
// come and go.
type partition struct {
	// Immutable after construction.
	servers *servers
	index   int
	prefix  string        // of the Redis names of its channels
	born    time.Time     // the zero of its clock
	linger  time.Duration // how long an unsubscribe is delayed
	trust   *trust        // outside of a Cluster all partitions share one

	carrier atomic.Pointer[carrier] // of the link that subscribes it, or nil; written with mu held

	// Held while the Receiver gets messages or gaps of its channels, so that two links
	// cannot call it at once. Must be taken before mu.
	telling lock.Mutex[lock.Telling]

	// Guarded by mu.
	mu            lock.Mutex[lock.Partition]
	err           error                    // why it cannot be subscribed; nil before a link's first attempt
	lost          error                    // why the last connection ended
	connected     bool                     // a connection of the carrier's link subscribes it
	life          uint64                   // incremented whenever a connection begins to subscribe it
	subscriptions map[string]*subscription // by Redis name
	joining       []joiner                 // what to subscribe on this connection, in this order
	restoring     int                      // how many names at the front of joining were subscribed before this connection
	restored      bool                     // those are subscribed again
	unconfirmed   int                      // subscriptions of the batch under way
	parting       []string                 // names to unsubscribe on this connection
	unparted      map[string]struct{}      // names that Redis has refused to unsubscribe, for the next beat
	lingering     []lingerer               // oldest first
}

// newPartitions returns all partitions.
func newPartitions(s *servers, linger time.Duration) []*partition {
	var list []*partition
	known := &trust{}
	for i, prefix := range s.prefixes {
		if s.clustered {
			known = &trust{}
		}
		list = append(list, &partition{
			servers:       s,
			index:         i,
			prefix:        prefix,
			born:          time.Now(),
			linger:        linger,
			trust:         known,
			subscriptions: make(map[string]*subscription),
		})
	}
	return list
}

// subscribes reports whether the link of by has a connection that subscribes the partition.
// The caller must hold mu.
func (p *partition) subscribes(by *carrier) bool { return p.connected && p.carrier.Load() == by }

// handOver makes the link of to, and no other, subscribe the partition. If to is nil no
// link can, because of err.
func (p *partition) handOver(to *carrier, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.carrier.Load() != nil {
		p.disconnect(err)
	}
	if to != nil {
		p.err = nil // the new link has not failed
	}
	p.carrier.Store(to)
}

// begin prepares the partition for a new connection of a link. It does nothing if the
// partition is connected or belongs to another link.
func (p *partition) begin(by *carrier) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.connected && p.carrier.Load() == by {
		p.parting, p.unparted = nil, nil
		p.beginAgain()
	}
}

// retry tries again on the same connection what Redis has refused.
func (p *partition) retry(by *carrier) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.carrier.Load() != by {
		return
	}
	for name := range p.unparted {
		if p.subscriptions[name] == nil {
			p.parting = append(p.parting, name)
		}
	}
	p.unparted = nil
	if !p.connected {
		p.beginAgain()
	}
}

// beginAgain prepares the partition for another attempt. The caller must hold mu.
func (p *partition) beginAgain() {
	p.connected = true
	p.life++
	p.joining = p.joining[:0]
	p.unconfirmed = 0
	for name, s := range p.subscriptions {
		s.sent = false
		p.joining = append(p.joining, joiner{name, s})
	}
	p.restoring, p.restored = len(p.joining), false
}

// fail says that a link no longer subscribes the partition, because of err. It reports
// whether the partition belongs to that link and has not failed before.
func (p *partition) fail(by *carrier, err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.carrier.Load() != by:
		return false
	case !p.connected && p.err != nil:
		p.servers.losses.Add(1)
		return false
	}
	p.disconnect(err)
	return true
}

// disconnect records that the connection is lost. Confirmed subscriptions stay, to be
// restored; pending ones fail with err. The caller must hold mu.
func (p *partition) disconnect(err error) {
	p.servers.losses.Add(1)
	p.connected = false
	p.err, p.lost = err, err
	for name, s := range p.subscriptions {
		switch {
		case !s.known():
			s.request.err = err
			s.request.countDown()
			p.part(name, s)
		case s.leaves != 0:
			p.part(name, s)
		default:
			s.missed = true
		}
	}
	p.lingering = nil
}

// late says that the link does not answer for now, so that new subscribes fail at once
// instead of waiting; with a nil err it answers again, which is enough once the subscriptions
// are restored. It reports whether that applies to the partition.
func (p *partition) late(by *carrier, err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.subscribes(by) || err == nil && !p.restored {
		return false
	}
	p.err = err
	return true
}

// answersAll reports whether the link has restored all subscriptions of the partition and
// Redis answers it.
func (p *partition) answersAll() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.restored && p.connected && p.err == nil
}

// restore calls Receiver.Gap, once all subscriptions from before the connection are
// restored, for the channels that may have missed messages. It reports whether that was the
// case just now.
func (p *partition) restore(by *carrier, r Receiver) bool {
	p.telling.Lock()
	defer p.telling.Unlock()
	missed, reason, now := p.takeMissed(by)
	if len(missed) > 0 {
		r.Gap(missed, reason)
	}
	return now
}

func (p *partition) takeMissed(by *carrier) (missed []string, reason error, restored bool) {
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

// receive delivers a message if by is of the link that subscribes the partition.
func (p *partition) receive(by *carrier, r Receiver, m Message) {
	p.telling.Lock()
	defer p.telling.Unlock()
	if p.carrier.Load() == by {
		r.Receive(m)
	}
}

// link returns the carrier of the link that subscribes it, or one of nobody.
func (p *partition) link() *carrier {
	if by := p.carrier.Load(); by != nil {
		return by
	}
	return &carrier{}
}

// leaves reports whether vouch would first have to ask the former master.
func (p *partition) leaves(to *process) bool {
	_, _, left := p.trust.leaves(to)
	return left && p.servers.clustered
}

// vouch returns what scripts of the partition are told over a connection to a process.
func (p *partition) vouch(ctx context.Context, to *process, now time.Time) voucher {
	former, sure, left := p.trust.leaves(to)
	lately := now.Sub(sure) <= sureFor && to.uptime > sureFor
	if left && (lately || to.before != "") && p.servers.topology.gave(ctx, p.prefix, former, to) {
		p.trust.follow(former, to)
	}
	return p.trust.vouch(to, now)
}

// sureFor is how long ago a node may have been sure of the former master for a handover to
// count. In quiet channels it checks every 5 s.
const sureFor = 8 * time.Second
