package broker

import (
	"time"
)

// subscription is one channel of a partition.
type subscription struct {
	request *request      // that waits for Redis's word; nil: Redis has confirmed
	leaves  time.Duration // when it ends, by the partition's clock, if nobody subscribes again; 0: not
	sent    bool          // on this connection
	missed  bool          // was known when a connection was lost: a gap is to be told
}

func (s *subscription) known() bool { return s.request == nil }

type lingerer struct {
	name   string
	leaves time.Duration
}

// request is the channels of one partition that a Subscribe waits for.
type request struct {
	names   []string      // Redis names
	settled chan struct{} // closed when nothing is due; set by join

	// Guarded by the partition's mu.
	due int   // channels that Redis has neither confirmed nor refused
	err error // why some will not be confirmed
}

// countDown takes away one of the channels that are due. The caller holds the
// partition's mu.
func (q *request) countDown() {
	if q.due--; q.due == 0 {
		close(q.settled)
	}
}
