package websocket

import (
	"sync/atomic"
	"time"

	"tidegate/broker/lock"
	"tidegate/gateway"
	"tidegate/gateway/internal/wall"
)

// pace ends sessions whose clients have begun a message and do not continue it: the part
// that has arrived holds memory that others need. It checks clients with an unfinished
// message at a fixed interval, and ends none at its first check. It is safe for concurrent
// use.
type pace struct {
	// Fixed at birth.
	wall  *wall.Wall
	every time.Duration

	// Guarded by mu.
	mu      lock.Mutex[lock.Connections]
	watched []watched
	timer   *time.Timer // runs while a connection is watched
}

// watched is a connection whose client has begun a message.
type watched struct {
	*progress
	session *gateway.Session
	before  uint32 // progress at the last look
}

const (
	paceInterval  = 10 * time.Second
	leastProgress = 4 << 10 // bytes that must arrive in paceInterval
)

var tooSlow = gateway.TimedOut.With("a message was begun, and its rest did not come in time")

// progress counts the bytes that a client has sent, in units of aByte, and holds two flags.
// The count may overflow: only differences matter. Each connection has a progress, so it is
// small.
type progress struct{ atomic.Uint32 }

const (
	isUnfinished = 1 << iota // a message has begun and not ended
	isWatched                // it is in pace.watched, or about to be
	aByte
)

// note counts bytes that have arrived, and records whether a message is unfinished now. It
// must not be called concurrently for one connection.
func (p *progress) note(of *pace, session *gateway.Session, bytes int, unfinished bool) {
	p.Add(uint32(bytes) * aByte)
	if !unfinished {
		p.And(^uint32(isUnfinished))
	} else if p.Or(isUnfinished)&isWatched == 0 {
		of.watch(p, session)
	}
}

func (of *pace) watch(p *progress, session *gateway.Session) {
	of.mu.Lock()
	defer of.mu.Unlock()
	now := p.Or(isWatched)
	if now&isWatched != 0 {
		return
	}
	of.watched = append(of.watched, watched{p, session, now - leastProgress*aByte})
	if len(of.watched) == 1 {
		of.timer = time.AfterFunc(of.every, func() { of.wall.Do("look for messages that do not go on", of.look) })
	}
}

// look ends the sessions whose clients have not continued their messages since the last look.
func (of *pace) look() {
	for _, w := range of.slow() {
		w.session.Close(tooSlow)
	}
}

func (of *pace) slow() (slow []watched) {
	of.mu.Lock()
	defer of.mu.Unlock()
	kept := of.watched[:0]
	for _, w := range of.watched {
		now := w.And(^uint32(isWatched)) // a client that begins a message from now on calls watch
		switch {
		case now&isUnfinished == 0:
		case now-w.before < leastProgress*aByte:
			slow = append(slow, w)
		case w.Or(isWatched)&isWatched == 0:
			w.before = now
			kept = append(kept, w)
		}
	}
	clear(of.watched[len(kept):])
	of.watched = kept
	if len(kept) > 0 {
		of.timer.Reset(of.every)
	}
	return slow
}
