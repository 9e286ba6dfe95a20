package main

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// bound sets options of a listening socket, which connections inherit. They limit how much
// unsent data the kernel buffers for a slow peer, otherwise megabytes, and how long it
// waits for a peer that does not answer, otherwise a quarter of an hour.
func bound(_, _ string, socket syscall.RawConn) (err error) {
	controlled := socket.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentBytes)
		if err == nil {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(peerTimeout.Milliseconds()))
		}
	})
	if controlled != nil {
		return controlled
	}
	return err
}

const (
	unsentBytes = 16 << 10
	peerTimeout = 40 * time.Second // together with keepAlive, detects within a minute that a peer is gone
)
