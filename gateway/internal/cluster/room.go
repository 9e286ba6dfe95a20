package cluster

import "sync/atomic"

// Bytes is the most that a Cluster holds of what nodes say to each other: what it has
// received, what it is asked, what it asks and tells, twice while that is on its way, and
// what it knows of the other nodes. What the answers to its own questions take is for
// those who ask.
const Bytes = inboxBytes + questionBytes + 2*(askedBytes+toldBytes) + mostNodes*nodeBytes

const (
	inboxMost     = 1024 // messages that are received and not yet read
	inboxBytes    = 8 << 20
	questionsMost = 256 // questions of other nodes that are not answered yet
	questionBytes = 2 << 20
	askedMost     = 256 // questions of this node that are under way
	askedBytes    = 2 << 20
	toldMost      = 4096 // words of this node that are not confirmed
	toldBytes     = 4 << 20

	mostNodes = 1024 // others that are known
	nodeBytes = 4 << 10
)

// room bounds how many things there are at a time, and how many bytes they have. Its
// methods may be called concurrently.
type room struct {
	// Fixed at birth.
	most, mostBytes int64

	number, bytes atomic.Int64
}

// take takes the place of one thing, until give, and reports whether there was one.
func (r *room) take(bytes int) bool {
	number, held := r.number.Add(1), r.bytes.Add(int64(bytes))
	if number <= r.most && held <= r.mostBytes {
		return true
	}
	r.give(bytes)
	return false
}

// give gives back what take took.
func (r *room) give(bytes int) {
	r.number.Add(-1)
	r.bytes.Add(-int64(bytes))
}
