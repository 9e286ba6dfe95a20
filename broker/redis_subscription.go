package broker

import (
	"time"
)

// subscription is the subscription of one channel in a partition.
type subscription struct {
	request *request      // the request that waits for it; nil if Redis has confirmed it
	leaves  time.Duration // when it ends, by the partition's clock, unless subscribed again; 0 if it stays
	sent    bool          // the subscribe was sent on this connection
	missed  bool          // it was confirmed when a connection was lost: Receiver.Gap is due
	ended   bool          // it is no longer among those of the partition
}

// known reports whether Redis has ever confirmed the subscription.
func (s *subscription) known() bool { return s.request == nil }

// lingerer is a subscription that ends at the time leaves.
type lingerer struct {
	name   string
	leaves time.Duration
}

// joiner is a subscription that is to be sent, or was sent and is not confirmed yet.
type joiner struct {
	name string
	*subscription
}

// requests are those of one Subscribe, each of another partition.
type requests []*request

// request is the set of channels of one partition that a Subscribe waits for.
type request struct {
	partition *partition
	names     []string      // Redis names
	settled   chan struct{} // closed when due is 0; set by join
	failed    error         // why Subscribe gives it up

	// Owned by Subscribe.
	answers uint64 // how many the link had received at the last look
	silent  int    // looks since the link received one

	// Guarded by the partition's mu.
	due int   // channels that are neither confirmed nor failed
	err error // why some will not be confirmed
}

// countDown decrements due. The caller must hold the partition's mu.
func (q *request) countDown() {
	if q.due--; q.due == 0 {
		close(q.settled)
	}
}
