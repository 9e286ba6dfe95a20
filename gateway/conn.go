package gateway

import "time"

// Conn is a client's connection, as the core sees it. Only one goroutine at a time calls
// Write; the other methods must be safe for concurrent use with everything.
type Conn interface {
	// Write writes frames that the session's Protocol has encoded, in order and in as few
	// system calls as possible. It blocks for at most wait and returns the frames that
	// remain: none, or a tail whose first frame may be partly written. With a wait of 0,
	// Write never blocks and writes what the kernel accepts at once. It must neither retain
	// nor modify the frames. After an error the connection is unusable.
	Write(frames [][]byte, wait time.Duration) (rest [][]byte, err error)

	// Heard returns when the peer last gave a sign of life. An incomplete frame is none.
	Heard() time.Time

	// Close closes the connection. It first writes rest, the remainder of a frame that Write
	// had begun; then, if the transport can, it sends the reason's Code and Text, which are
	// those of the session's Protocol. Close returns at once; a closing handshake continues
	// for a short, bounded time. A blocked Write returns soon after. Only the first call has
	// an effect.
	Close(reason Reason, rest []byte)
}
