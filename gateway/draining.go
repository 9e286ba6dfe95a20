package gateway

import (
	"sync/atomic"
	"time"
)

// EndPatience is how long after the drain window a node has ended at the latest, whatever
// peers, the broker and the backend do not answer.
const EndPatience = 3 * time.Second

const (
	leavePatience = 2 * time.Second // after its notice a client may take to leave
	closedReserve = time.Second / 2 // of EndPatience, for connections to be closed
	drainMargin   = time.Second / 2 // of the window, or a quarter of it: nobody is told to leave then, so that a busy machine ends in time, too
)

// drain is a node's end. All methods may be called concurrently.
type drain struct {
	window time.Duration // fixed at birth
	begun  atomic.Bool
	endBy  atomic.Int64 // when the node has ended at the latest, in ns since 1970; 0: it goes on
}

func (d *drain) check() error {
	if d.begun.Load() {
		return &Error{Code: Unavailable, Message: "the node is draining: try another one", Reason: Draining}
	}
	return nil
}

// begin notes when the node has ended at the latest, if it is not known yet.
func (d *drain) begin(by time.Time) {
	d.begun.Store(true)
	d.endBy.CompareAndSwap(0, by.UnixNano())
}

// lastWord returns by when all has been said that a node which ends has to say: to the
// broker, the backend and other nodes. It is of use once the node ends.
func (d *drain) lastWord() time.Time { return time.Unix(0, d.endBy.Load()).Add(-closedReserve) }

// due returns when the i-th of n sessions is told to leave.
func (d *drain) due(i, n int, began time.Time) time.Time {
	return began.Add(d.pacing() * time.Duration(i) / time.Duration(n))
}

// pacing is how long clients are told to leave.
func (d *drain) pacing() time.Duration { return d.window - min(d.window/4, drainMargin) }
