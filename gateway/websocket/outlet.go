package websocket

import "time"

// outlet is the writing side of a connection. At most one goroutine at a time calls try, and
// one await; abort may be called at any time.
type outlet interface {
	// try writes what can be taken immediately, and returns how many bytes that was. It
	// never blocks and does not retain p. After an error, nothing more can be written.
	try(p []byte) (n int, err error)

	// await waits until try may take more, and returns nil. It returns
	// os.ErrDeadlineExceeded at the deadline, and any other error if nothing more can be
	// written.
	await(deadline time.Time) error

	// shut ends the stream after what was taken. It never blocks.
	shut()

	// abort closes the connection immediately.
	abort()
}
