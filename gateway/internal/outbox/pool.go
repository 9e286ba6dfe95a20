package outbox

import "sync"

// Pool is what all outboxes of a node share. All methods of an outbox take the same
// one. It is safe for concurrent use.
type Pool struct {
	Limit int // bytes that may wait in one outbox; 0: no limit. Fixed at birth.

	backlogs sync.Pool // of *backlog: memory for what waits behind the first frame
}

// longBacklog is the capacity from which on a backlog is not kept for others.
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

// backlog is a queue of frames.
type backlog struct {
	frames [][]byte
	head   int
}
