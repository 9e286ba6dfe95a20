package websocket

import (
	"sync"
	"sync/atomic"

	"tidegate/gateway"
)

// unfinished is the memory of messages that have begun and not been handled yet, of
// all connections. It is bounded, so that clients that leave messages unfinished do
// not add up. All methods may be called concurrently.
type unfinished struct {
	most  int64 // bytes
	used  atomic.Int64
	spare sync.Pool // of *buffer
}

// buffer is the memory of one message, and counts with its capacity.
type buffer struct{ bytes []byte }

const (
	bufferBytes = 2 << 10  // of a new buffer
	longBuffer  = 64 << 10 // longer ones are not kept for others

	// DefaultUnfinishedBytes is Server.UnfinishedBytes where that is 0.
	DefaultUnfinishedBytes = 64 << 20
)

// overloaded is for the message that asks for room when there is none.
var overloaded = gateway.Overloaded.With("unfinished messages take all the memory that they may on this node: try again later")

// add appends a piece to what there is of a message, whose length is known to be
// total at least. On an error b stays as it was.
func (u *unfinished) add(b *buffer, piece []byte, total int64) (*buffer, error) {
	b, err := u.room(b, len(piece), int(total))
	if err == nil {
		b.bytes = append(b.bytes, piece...)
	}
	return b, err
}

// room returns b, or a new buffer if that is nil, with room for more bytes, and
// rather more, but for no more than total if more fits into that.
func (u *unfinished) room(b *buffer, more, total int) (*buffer, error) {
	if b == nil {
		var err error
		if b, err = u.get(); err != nil {
			return nil, err
		}
	}
	least := len(b.bytes) + more
	if least <= cap(b.bytes) {
		return b, nil
	}
	size := max(least, min(2*cap(b.bytes), total))
	if !u.take(size - cap(b.bytes)) {
		return b, overloaded
	}
	b.bytes = append(make([]byte, 0, size), b.bytes...)
	return b, nil
}

// get returns an empty buffer.
func (u *unfinished) get() (*buffer, error) {
	b, ok := u.spare.Get().(*buffer)
	if !ok {
		b = &buffer{make([]byte, 0, bufferBytes)}
	}
	if !u.take(cap(b.bytes)) {
		u.spare.Put(b)
		return nil, overloaded
	}
	return b, nil
}

// put takes a buffer back.
func (u *unfinished) put(b *buffer) {
	u.used.Add(-int64(cap(b.bytes)))
	if cap(b.bytes) <= longBuffer {
		b.bytes = b.bytes[:0]
		u.spare.Put(b)
	}
}

// recount has b count with the capacity that it has grown to, since it had before.
func (u *unfinished) recount(b *buffer, before int) error {
	grown := cap(b.bytes) - before
	u.used.Add(int64(grown))
	if grown > 0 && u.used.Load() > u.most {
		return overloaded
	}
	return nil
}

func (u *unfinished) take(bytes int) bool {
	if u.used.Add(int64(bytes)) > u.most {
		u.used.Add(-int64(bytes))
		return false
	}
	return true
}

// contents returns what is in b; nil: nothing.
func (b *buffer) contents() []byte {
	if b == nil {
		return nil
	}
	return b.bytes
}
