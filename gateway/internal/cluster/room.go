package cluster

import "sync/atomic"

// Bytes is the most memory that a Cluster uses for messages between nodes: those received,
// the questions of others, its own questions to all and to one, which count twice while they are in
// flight, and what it knows about the other nodes. It excludes the answers to its own
// questions, which the callers of Ask keep.
const Bytes = inboxBytes + 2*questionBytes + 2*(askedBytes+toldBytes) + mostNodes*nodeBytes

const (
	inboxMost     = 1024 // messages received and not yet read
	inboxBytes    = 8 << 20
	questionsMost = 256 // unanswered questions of other nodes, in each of two queues
	questionBytes = 1 << 20
	askedMost     = 256 // questions of this node in flight to all
	askedBytes    = 2 << 20
	toldMost      = 4096 // the same to one node
	toldBytes     = 4 << 20

	mostNodes = 1024 // known other nodes
	nodeBytes = 4 << 10
)

// room limits a number of things and their total size. Its methods are safe for concurrent use.
type room struct {
	// Fixed at birth.
	most, mostBytes int64

	number, bytes atomic.Int64
}

// take reserves room for one thing and reports whether there was enough.
func (r *room) take(bytes int) bool {
	number, held := r.number.Add(1), r.bytes.Add(int64(bytes))
	if number <= r.most && held <= r.mostBytes {
		return true
	}
	r.give(bytes)
	return false
}

// give releases what take has reserved.
func (r *room) give(bytes int) {
	r.number.Add(-1)
	r.bytes.Add(-int64(bytes))
}

// queue is a queue of bounded size. Its methods are safe for concurrent use.
type queue[T any] struct {
	waiting chan T // has a slot for each that has room
	room    room   // who has handled one gives its room back
}

func newQueue[T any](most, mostBytes int64) *queue[T] {
	return &queue[T]{make(chan T, most), room{most: most, mostBytes: mostBytes}}
}

// put adds one of the given size, and reports whether there was room.
func (q *queue[T]) put(one T, bytes int) bool {
	fits := q.room.take(bytes)
	if fits {
		q.waiting <- one
	}
	return fits
}
