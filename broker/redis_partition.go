package broker

import (
	"context"
	"sync/atomic"
	"time"

	"tidegate/broker/lock"
)

// partition is the channels of one hash. It keeps what is subscribed of them, over
// as many links as it takes, one after the other.
type partition struct {
	// Fixed at birth.
	servers *servers
	index   int
	prefix  string        // of the Redis names of its channels
	born    time.Time     // the beginning of its clock
	linger  time.Duration // of who unsubscribes
	trust   *trust        // one for all partitions outside of a Cluster

	carrier atomic.Pointer[carrier] // nil: none. Written with mu held.

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

// newPartitions returns all that there are.
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

// subscribes reports whether a link has a connection that subscribes the
// partition. It is called with mu held.
func (p *partition) subscribes(by *carrier) bool { return p.connected && p.carrier.Load() == by }

// handOver has a link subscribe the partition from now on, and no other; nil: none
// can, because of err.
func (p *partition) handOver(to *carrier, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.carrier.Load() != nil {
		p.disconnect(err)
	}
	p.carrier.Store(to)
}

// begin readies the partition for a connection of a link, or for another attempt
// on it.
func (p *partition) begin(by *carrier) {
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
func (p *partition) fail(by *carrier, err error) bool {
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
	p.servers.losses.Add(1)
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
func (p *partition) late(by *carrier, err error) bool {
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

// receive tells of a message, if the link is the one that carries the partition.
func (p *partition) receive(by *carrier, r Receiver, m Message) {
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

// vouch is what a script of the partition's is told over a connection to a process.
func (p *partition) vouch(ctx context.Context, to *process, now time.Time) voucher {
	former, sure, left := p.trust.leaves(to)
	lately := now.Sub(sure) <= sureFor && to.uptime > sureFor
	if left && (lately || to.before != "") && p.servers.topology.gave(ctx, p.prefix, former, to) {
		p.trust.follow(former, to)
	}
	return p.trust.vouch(to, now)
}

// sureFor is how long ago a node may have been sure of the former master. In quiet
// channels it looks every 5 s.
const sureFor = 8 * time.Second
