package main

import (
	"cmp"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// listening sets options of a listening socket, which connections inherit: package net would set
// them for each connection anew. They limit how much unsent data the kernel buffers for a slow
// peer, otherwise megabytes, and how long it waits for a peer that does not answer, otherwise a
// quarter of an hour: it detects within a minute that a peer is gone.
var listening = net.ListenConfig{KeepAlive: -1, Control: func(_, _ string, socket syscall.RawConn) (err error) {
	controlled := socket.Control(func(fd uintptr) {
		for _, o := range []struct{ level, name, value int }{
			{unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, 16 << 10}, // bytes
			{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 40_000},    // ms
			{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
			{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15},  // s
			{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 10}, // s
			{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3},
		} {
			err = cmp.Or(err, unix.SetsockoptInt(int(fd), o.level, o.name, o.value))
		}
	})
	return cmp.Or(controlled, err)
}}
