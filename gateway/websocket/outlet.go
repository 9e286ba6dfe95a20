package websocket

import "time"

// outlet is where a connection's bytes go. try and await are called by one
// goroutine at a time each; abort may be called at any time.
type outlet interface {
	// try writes what is taken at once and returns how much that was. It never
	// blocks and keeps nothing of p. An error is final.
	try(p []byte) (n int, err error)

	// await returns nil when try may take more, or an error that is
	// os.ErrDeadlineExceeded, or final.
	await(deadline time.Time) error

	// shut tells the peer that nothing follows what was taken. It never blocks.
	shut()

	// abort closes the connection at once.
	abort()
}
