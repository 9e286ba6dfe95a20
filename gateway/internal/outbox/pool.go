package outbox

import "sync"

// Pool is shared by all outboxes of a node: every method of an Outbox must be given the same
// Pool. It is safe for concurrent use.
type Pool struct {
	Limit int // most bytes held by one outbox, without the latest messages of conflated channels; 0 means no limit. Fixed at birth.

	backlogs sync.Pool // of *backlog
}

// longBacklog is the largest capacity, in frames, of a backlog that the pool keeps.
const longBacklog = 1024

func (p *Pool) backlog() *backlog {
	if b, ok := p.backlogs.Get().(*backlog); ok {
		return b
	}
	return &backlog{frames: make([][]byte, 0, 8)}
}

func (p *Pool) spare(b *backlog) {
	if cap(b.frames) <= longBacklog {
		b.frames, b.head = b.frames[:0], 0
		p.backlogs.Put(b)
	}
}

// backlog is a queue of the frames behind the first one.
type backlog struct {
	frames [][]byte
	head   int
}

// push appends a frame. If most of the memory is in front of the queue, it moves the queue
// there rather than let it grow: a peer that never takes all would make it grow forever.
func (b *backlog) push(frame []byte) {
	if len(b.frames) == cap(b.frames) && b.head > len(b.frames)/2 {
		n := copy(b.frames, b.frames[b.head:])
		clear(b.frames[n:])
		b.frames, b.head = b.frames[:n], 0
	}
	b.frames = append(b.frames, frame)
}
