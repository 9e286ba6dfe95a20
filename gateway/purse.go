package gateway

import (
	"sync/atomic"
	"time"

	"tidegate/gateway/internal/rates"
)

// purse holds the buckets that a session spends from.
type purse struct {
	address *rates.Bucket                // shared by all clients at the session's address; immutable
	own     atomic.Pointer[rates.Bucket] // of the session's user or, without one, of the session; nil: it has spent nothing yet
	flood   *flood                       // nil: the client has not exceeded its rate; owned by Receive
}

// flood is a client that keeps exceeding its rate. At first each of its commands is refused,
// up to the rate that it may have. Beyond that, it is read only as fast as it may be refused.
// After floodPatience it is disconnected.
type flood struct {
	answers *rates.Bucket // limits the refusals that are sent
	since   time.Time
	last    time.Time
}

// bucket returns the bucket of the session's user or, without one, of the session.
func (p *purse) bucket(b *Budget) *rates.Bucket {
	if p.own.Load() == nil {
		p.own.CompareAndSwap(nil, b.rates.Own())
	}
	return p.own.Load()
}

// spendAs makes the session spend from its user's bucket from now on.
func (p *purse) spendAs(user string, b *Budget) {
	bucket := b.rates.User(user)
	for before := p.own.Load(); before != b.closed; before = p.own.Load() {
		if p.own.CompareAndSwap(before, bucket) {
			b.rates.Release(before)
			return
		}
	}
	b.rates.Release(bucket)
}

// close returns the session's buckets. It must be called only once.
func (p *purse) close(b *Budget) {
	b.rates.Release(p.own.Swap(b.closed))
	b.rates.Release(p.address)
}

const (
	floodGap      = 2 * time.Second  // without a refusal for this long, the flood is over
	floodPatience = 10 * time.Second // a flood of this length ends the session
	refusals      = 100              // most refusals sent per second, if the client's commands have no limit
)

// refuse records that a command of a client that may send rate commands a second came too
// fast. It returns how long to pause reading from the client, and whether the flood has lasted
// too long.
func (p *purse) refuse(rate int) (wait time.Duration, enough bool) {
	if p.flood == nil {
		p.flood = &flood{answers: rates.New(rates.Limit{Commands: rate})}
	}
	now, f := time.Now(), p.flood
	if now.Sub(f.last) > floodGap {
		f.since = now
	}
	f.last = now
	if now.Sub(f.since) > floodPatience {
		return 0, true
	}
	return f.answers.Owe(1), false
}
