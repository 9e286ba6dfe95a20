package websocket

import (
	"sync"

	"tidegate/gateway"
	"tidegate/gateway/internal/rates"
)

// unfinished is the memory of messages that have begun and not been handled yet, of
// all connections. It is part of what the node holds for clients, so that those which
// leave messages unfinished do not add up. All methods may be called concurrently.
type unfinished struct {
	budget budget
	spare  sync.Pool // of *buffer
}

// budget bounds what is held for clients: a *gateway.Budget.
type budget interface {
	Hold(payer *rates.Bucket, bytes int) error
	LetGo(payer *rates.Bucket, bytes int)
}

// buffer is the memory of one message. It counts with its capacity, for who pays for it.
type buffer struct {
	bytes []byte
	payer *rates.Bucket
}

const (
	bufferBytes = 2 << 10  // of a new buffer
	longBuffer  = 64 << 10 // longer ones are not kept for others
)

// take makes room for so many bytes. An error ends the session.
func (u *unfinished) take(payer *rates.Bucket, bytes int) error {
	if err := u.budget.Hold(payer, bytes); err != nil {
		return gateway.Overloaded.With(gateway.ErrorOf(err).Message)
	}
	return nil
}

// add appends a piece to what there is of a message, whose length is known to be
// total at least. On an error b stays as it was.
func (u *unfinished) add(b *buffer, payer *rates.Bucket, piece []byte, total int64) (*buffer, error) {
	b, err := u.room(b, payer, len(piece), int(total))
	if err == nil {
		b.bytes = append(b.bytes, piece...)
	}
	return b, err
}

// room returns b, or a new buffer of the payer's if that is nil, with room for more bytes, and
// rather more, but for no more than total if more fits into that.
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

// get returns an empty buffer.
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

// put takes a buffer back.
func (u *unfinished) put(b *buffer) {
	u.budget.LetGo(b.payer, cap(b.bytes))
	if cap(b.bytes) <= longBuffer {
		b.bytes, b.payer = b.bytes[:0], nil
		u.spare.Put(b)
	}
}

// fill has b filled by a function that may give it other memory. On an error b is
// as it was.
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

// contents returns what is in b; nil: nothing.
func (b *buffer) contents() []byte {
	if b == nil {
		return nil
	}
	return b.bytes
}
