package websocket

import (
	"net"

	"golang.org/x/sys/unix"
)

// unsentBytes is how much the kernel takes for a peer that does not read. Without
// a bound it takes megabytes, whatever bounds there are before it.
const unsentBytes = 16 << 10

// boundUnsent bounds what the kernel takes for a peer that does not read.
func boundUnsent(conn net.Conn) {
	tcp := tcpOf(conn)
	if tcp == nil {
		return
	}
	if control, err := tcp.SyscallConn(); err == nil {
		control.Control(boundUnsentOf) // in vain only on a socket that is broken
	}
}

func boundUnsentOf(fd uintptr) {
	_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentBytes)
}
