package gateway

import (
	"sync/atomic"
	"time"

	"tidegate/gateway/internal/rates"
)

// purse is what a session spends from.
type purse struct {
	address *rates.Bucket                // of all clients that come from where it comes from; fixed at birth
	own     atomic.Pointer[rates.Bucket] // of the session's user, or its own; nil: it has sent nothing yet
	flood   *flood                       // nil: there was none. Owned by Receive
}

// flood is a client that goes on beyond its rate. Its commands are refused one by
// one, up to as many a second as may pass; then it is read from only as fast as it
// may be refused; and in the end it is sent away.
type flood struct {
	answers *rates.Bucket // refusals that may be told
	since   time.Time
	last    time.Time
}

// bucket returns the one of the session's user, or its own.
func (p *purse) bucket(b *Budget) *rates.Bucket {
	if p.own.Load() == nil {
		p.own.CompareAndSwap(nil, b.rates.Own())
	}
	return p.own.Load()
}

// spendAs has the session spend from its user's bucket from now on.
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

// close gives back what the session has spent from. It is called once.
func (p *purse) close(b *Budget) {
	b.rates.Release(p.own.Swap(b.closed))
	b.rates.Release(p.address)
}

const (
	floodGap      = 2 * time.Second  // without a refusal: the flood is over
	floodPatience = 10 * time.Second // then the session ends
	refusals      = 100              // a second that may be told where the commands of one client have no limit
)

// refuse notes that a command has come too fast, of a client that may send so many a
// second. It returns how long the client is to be read no further, and whether it has gone
// on like that for too long.
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
	return f.answers.Owe(), false
}
