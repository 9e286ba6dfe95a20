//go:build !linux

package websocket

import (
	"errors"
	"net"
)

// sendBuffer is how much the kernel takes for a peer that does not read.
const sendBuffer = 64 << 10

// boundUnsent bounds what the kernel takes for a peer that does not read.
func boundUnsent(conn net.Conn) {
	if tcp := tcpOf(conn); tcp != nil {
		_ = tcp.SetWriteBuffer(sendBuffer) // in vain only on a socket that is broken
	}
}

func newEpoll(*shared) (engine, error) { return nil, errors.ErrUnsupported }
