//go:build !linux

package websocket

import (
	"errors"
	"net"
)

// sendBuffer is how much the kernel buffers for a peer that does not read.
const sendBuffer = 64 << 10

// boundUnsent limits what the kernel buffers for a peer that does not read.
func boundUnsent(conn net.Conn) {
	if tcp := tcpOf(conn); tcp != nil {
		_ = tcp.SetWriteBuffer(sendBuffer) // fails only on a broken socket
	}
}

func newEpoll(*shared) (engine, error) { return nil, errors.ErrUnsupported }
