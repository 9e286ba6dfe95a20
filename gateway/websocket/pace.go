package websocket

import (
	"sync/atomic"
	"time"

	"tidegate/broker/lock"
	"tidegate/gateway"
	"tidegate/gateway/internal/wall"
)

// pace ends sessions whose clients have begun a message and do not go on with it: what
// there is of it takes room that others need. Who has begun one is looked at from time to
// time, from the second time on. All methods may be called concurrently.
type pace struct {
	// Fixed at birth.
	wall  *wall.Wall
	every time.Duration

	// Guarded by mu.
	mu      lock.Mutex[lock.Connections]
	watched []*progress
	timer   *time.Timer // runs while somebody is watched
}

const (
	paceInterval  = 10 * time.Second
	leastProgress = 4 << 10 // bytes, in that time
)

var tooSlow = gateway.TimedOut.With("a message was begun, and its rest did not come in time")

// progress is how a connection's client goes on with what it says.
type progress struct {
	session *gateway.Session // fixed at birth
	heard   atomic.Int64     // twice the bytes that have come, and one more while a message is unfinished
	watched atomic.Bool      // it is among those, or about to be
	before  int64            // heard when it was looked at last; guarded by pace.mu
}

func isUnfinished(heard int64) bool { return heard&1 != 0 }

// note counts bytes that have come, and says whether a message is unfinished now. It is
// called by one goroutine at a time.
func (p *progress) note(of *pace, bytes int, unfinished bool) {
	heard := p.heard.Load()&^1 + int64(2*bytes)
	if unfinished {
		heard++
	}
	p.heard.Store(heard)
	if unfinished && !p.watched.Load() {
		of.watch(p)
	}
}

func (of *pace) watch(p *progress) {
	of.mu.Lock()
	defer of.mu.Unlock()
	if p.watched.Swap(true) {
		return
	}
	p.before = -2 * leastProgress
	of.watched = append(of.watched, p)
	if len(of.watched) == 1 {
		of.timer = time.AfterFunc(of.every, func() { of.wall.Do("look for messages that do not go on", of.look) })
	}
}

// look ends the sessions of those that have not gone on since the last look.
func (of *pace) look() {
	for _, p := range of.slow() {
		p.session.Close(tooSlow)
	}
}

func (of *pace) slow() (slow []*progress) {
	of.mu.Lock()
	defer of.mu.Unlock()
	kept := of.watched[:0]
	for _, p := range of.watched {
		p.watched.Store(false) // first: who begins a message from now on has itself watched
		heard := p.heard.Load()
		switch {
		case !isUnfinished(heard):
		case heard-p.before < 2*leastProgress:
			slow = append(slow, p)
		case !p.watched.Swap(true):
			p.before = heard
			kept = append(kept, p)
		}
	}
	clear(of.watched[len(kept):])
	of.watched = kept
	if len(kept) > 0 {
		of.timer.Reset(of.every)
	}
	return slow
}
