package main

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// bound is called for a listening socket, from which connections inherit what it
// sets: how much the kernel takes for a peer that does not read, which is megabytes
// otherwise, and how long it waits for one that answers nothing any more, which is
// a quarter of an hour.
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
	peerTimeout = 40 * time.Second // with keepAlive, a peer that vanished is gone within a minute
)
