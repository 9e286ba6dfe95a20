package gateway

import "time"

// Conn is a client's connection, as the core sees it. Write is called by one
// goroutine at a time; the other methods may be called concurrently with everything.
type Conn interface {
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

	// Close ends the connection. It writes rest first, what Write left of a frame that
	// it had begun, and then, if the transport can, tells the peer the reason's Code and
	// Text, which are those of its Protocol. It returns at once; closing handshakes go on
	// for a short, bounded time.
	// Write returns soon after. Only the first call counts.
	Close(reason Reason, rest []byte)
}
