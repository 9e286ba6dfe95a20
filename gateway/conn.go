package gateway

import (
	"context"
	"time"
)

// Conn is a client's connection, as the core sees it. Read is called by one
// goroutine at a time, Write by one at a time; the other methods may be called
// concurrently with everything.
type Conn interface {
	// Read returns the peer's next frame, whose Data is valid until the next
	// Read. An error is final: io.EOF if the peer left in order, one that
	// ReasonOf understands if it broke the transport's rules. A Conn on which a
	// peer cannot speak blocks until it is closed.
	Read(ctx context.Context) (Frame, error)

	// Write sends frames that the session's Protocol encoded, in order, in as
	// few system calls as it can, and returns what is left of them after
	// waiting for the peer for at most wait: nothing, or a tail whose first
	// frame may be a part of one. With a wait of 0 it takes what the kernel
	// takes at once and never blocks. It keeps no reference to the frames'
	// memory and does not change it. An error is final.
	Write(frames [][]byte, wait time.Duration) (rest [][]byte, err error)

	// Heard returns when the peer last gave a sign of life. A frame that has
	// begun and does not end is none.
	Heard() time.Time

	// Close ends the connection, telling the peer the reason if the transport
	// can, after rest: what Write left of a frame that it had begun. It returns
	// at once; the courtesies of the transport go on for a short bounded time.
	// Read and Write return soon after. Only the first call counts.
	Close(reason Reason, rest []byte)
}
