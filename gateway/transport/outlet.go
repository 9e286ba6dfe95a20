package transport

import (
	"net"
	"time"

	"tidegate/gateway/internal/wall"
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
func outletOf(conn net.Conn, w *wall.Wall) outlet {
	if tcp := tcpOf(conn); tcp != nil {
		if s, err := newSocket(tcp); err == nil {
			return s
		}
	}
	return newRelay(conn, w)
}

// tcpOf returns the TCP connection that what is written to conn goes to as it
// is; nil: there is none. A connection that began with a PROXY header is one
// around another, for what is read from it.
func tcpOf(conn net.Conn) *net.TCPConn {
	switch c := conn.(type) {
	case *net.TCPConn:
		return c
	case interface{ TCPConn() (*net.TCPConn, bool) }:
		tcp, _ := c.TCPConn()
		return tcp
	}
	return nil
}
