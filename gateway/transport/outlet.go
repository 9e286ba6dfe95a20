package transport

import (
	"net"
	"time"
)

// outlet is where a connection's bytes go. try and await are called by one
// goroutine at a time each; abort may be called at any time.
type outlet interface {
	// try writes what is taken at once and returns how much that was. It never
	// blocks and keeps nothing of p. An error is final.
	try(p []byte) (n int, err error)

	// await returns nil when try may take more, or an error that is
	// os.ErrDeadlineExceeded, or final.
	await(deadline time.Time) error

	// close closes the connection in order; what was taken is written before,
	// if it can be by the deadline.
	close(deadline time.Time)

	// abort closes the connection at once.
	abort()
}

// outletOf returns the outlet that suits a connection.
func outletOf(conn net.Conn) outlet {
	if tcp, ok := conn.(*net.TCPConn); ok {
		if s, err := newSocket(tcp); err == nil {
			return s
		}
	}
	return newRelay(conn)
}
