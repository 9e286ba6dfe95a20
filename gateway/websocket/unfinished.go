package websocket

import (
	"sync"

	"tidegate/gateway"
	"tidegate/gateway/internal/rates"
)

// unfinished provides the memory for messages of all connections that have begun and are not
// handled yet. It is part of the node's budget for clients, so that unfinished messages
// cannot add up. It is safe for concurrent use.
type unfinished struct {
	budget rates.Memory
	spare  sync.Pool // of *buffer
}

// buffer is the memory of one message. Its capacity is charged to the payer.
type buffer struct {
	bytes []byte
	payer *rates.Bucket
}

const (
	bufferBytes = 2 << 10  // capacity of a new buffer
	longBuffer  = 64 << 10 // longer buffers are not reused
)

// take charges bytes to the payer. An error ends the session.
func (u *unfinished) take(payer *rates.Bucket, bytes int) error {
	if err := u.budget.Hold(payer, bytes); err != nil {
		return gateway.Overloaded.With(gateway.ErrorOf(err).Message)
	}
	return nil
}

// add appends a piece to a message whose length is known to be at least total bytes. If it
// fails, b is unchanged.
func (u *unfinished) add(b *buffer, payer *rates.Bucket, piece []byte, total int64) (*buffer, error) {
	b, err := u.room(b, payer, len(piece), int(total))
	if err == nil {
		b.bytes = append(b.bytes, piece...)
	}
	return b, err
}

// room returns b, or a new buffer charged to payer if b is nil, with room for more bytes. If
// it has to grow b, it doubles the capacity, but not beyond total unless more bytes need it.
func (u *unfinished) room(b *buffer, payer *rates.Bucket, more, total int) (*buffer, error) {
	if b == nil {
		var err error
		if b, err = u.get(payer); err != nil {
			return nil, err
		}
	}
	least := len(b.bytes) + more
	if least <= cap(b.bytes) {
		return b, nil
	}
	size := max(least, min(2*cap(b.bytes), total))
	if err := u.take(b.payer, size-cap(b.bytes)); err != nil {
		return b, err
	}
	b.bytes = append(make([]byte, 0, size), b.bytes...)
	return b, nil
}

// get returns an empty buffer, charged to payer.
func (u *unfinished) get(payer *rates.Bucket) (*buffer, error) {
	b, ok := u.spare.Get().(*buffer)
	if !ok {
		b = &buffer{bytes: make([]byte, 0, bufferBytes)}
	}
	if err := u.take(payer, cap(b.bytes)); err != nil {
		u.spare.Put(b)
		return nil, err
	}
	b.payer = payer
	return b, nil
}

// put returns a buffer, and frees its charge.
func (u *unfinished) put(b *buffer) {
	u.budget.LetGo(b.payer, cap(b.bytes))
	if cap(b.bytes) <= longBuffer {
		b.bytes, b.payer = b.bytes[:0], nil
		u.spare.Put(b)
	}
}

// fill calls by to fill b; by may return other memory. If fill fails, b is unchanged.
func (u *unfinished) fill(b *buffer, by func([]byte) ([]byte, error)) error {
	bytes, err := by(b.bytes)
	if err != nil {
		return err
	}
	if grown := cap(bytes) - cap(b.bytes); grown > 0 {
		if err := u.take(b.payer, grown); err != nil {
			return err
		}
	}
	b.bytes = bytes
	return nil
}

// contents returns the bytes of b, or nil if b is nil.
func (b *buffer) contents() []byte {
	if b == nil {
		return nil
	}
	return b.bytes
}
