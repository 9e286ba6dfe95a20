package gateway

import (
	"sync/atomic"
	"time"
)

// EndPatience is the longest time from the end of the drain window until the node has ended,
// even if peers, the broker or the backend do not respond.
const EndPatience = 3 * time.Second

const (
	leavePatience = 2 * time.Second // time for a client to leave after its notice
	closedReserve = time.Second / 2 // part of EndPatience reserved for closing connections
	drainMargin   = time.Second / 2 // the end of the window (a quarter of it, if that is less) in which no client is asked to leave, so that even a busy machine ends in time
)

// drain is the state of a node's shutdown. All methods are safe for concurrent use.
type drain struct {
	window time.Duration // immutable
	begun  atomic.Bool
	endBy  atomic.Int64 // when the node must have ended, in Unix nanoseconds; 0: it is not ending
}

func (d *drain) check() error {
	if d.begun.Load() {
		return &Error{Code: Unavailable, Message: "the node is draining: try another one", Reason: Draining}
	}
	return nil
}

// begin starts the drain. The first call also sets the time by which the node must have
// ended.
func (d *drain) begin(by time.Time) {
	d.begun.Store(true)
	d.endBy.CompareAndSwap(0, by.UnixNano())
}

// lastWord returns the time by which an ending node must have finished talking to the broker,
// the backend and other nodes. It is meaningful only once the node is ending.
func (d *drain) lastWord() time.Time { return time.Unix(0, d.endBy.Load()).Add(-closedReserve) }

// due returns when the i-th of n sessions is asked to leave.
func (d *drain) due(i, n int, began time.Time) time.Time {
	return began.Add(d.pacing() * time.Duration(i) / time.Duration(n))
}

// pacing returns the duration over which clients are asked to leave.
func (d *drain) pacing() time.Duration { return d.window - min(d.window/4, drainMargin) }
