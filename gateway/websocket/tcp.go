package websocket

import (
	"crypto/tls"
	"net"
)

// tcpOf returns the TCP connection under conn, or nil if there is none. A connection that
// began with a PROXY header is a wrapper around another.
func tcpOf(conn net.Conn) *net.TCPConn {
	switch c := conn.(type) {
	case *net.TCPConn:
		return c
	case *tls.Conn:
		return tcpOf(c.NetConn())
	case interface{ TCPConn() (*net.TCPConn, bool) }:
		tcp, _ := c.TCPConn()
		return tcp
	}
	return nil
}
