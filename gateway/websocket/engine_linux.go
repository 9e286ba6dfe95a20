package websocket

import (
	"net"

	"golang.org/x/sys/unix"
)

// unsentBytes is how much unsent data the kernel holds for a peer that does not read.
// Without this limit it holds megabytes, whatever the limits of the gateway are.
const unsentBytes = 16 << 10

// boundUnsent limits the unsent data that the kernel holds for a peer that does not read.
func boundUnsent(conn net.Conn) {
	tcp := tcpOf(conn)
	if tcp == nil {
		return
	}
	if control, err := tcp.SyscallConn(); err == nil {
		control.Control(boundUnsentOf) // fails only on a broken socket
	}
}

func boundUnsentOf(fd uintptr) {
	_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentBytes)
}
