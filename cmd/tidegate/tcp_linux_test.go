package main

import (
	"log/slog"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tidegate/cmd/tidegate/internal/config"
)

// A peer that has vanished is noticed within a minute, on every transport: by unconfirmed
// data or unanswered probes.
func TestListen_APeerThatVanishedIsNoticed(t *testing.T) {
	t.Parallel()
	l, err := listen("listen", "127.0.0.1:0", config.TLS{}, nil, slog.New(slog.DiscardHandler))
	must(t, err)
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	must(t, err)
	defer client.Close()
	served, err := l.Accept()
	must(t, err)
	defer served.Close()
	socket, err := served.(*net.TCPConn).SyscallConn()
	must(t, err)
	option := func(level, name int) (value int) {
		if controlled := socket.Control(func(fd uintptr) { value, err = unix.GetsockoptInt(int(fd), level, name) }); controlled != nil || err != nil {
			t.Fatal(controlled, err)
		}
		return value
	}
	unconfirmed := time.Duration(option(unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)) * time.Millisecond
	probes := option(unix.IPPROTO_TCP, unix.TCP_KEEPCNT) * option(unix.IPPROTO_TCP, unix.TCP_KEEPINTVL)
	silent := time.Duration(option(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)+probes) * time.Second
	if option(unix.SOL_SOCKET, unix.SO_KEEPALIVE) != 1 || unconfirmed == 0 || unconfirmed > 45*time.Second || silent > time.Minute {
		t.Errorf("unconfirmed for %v, silent for %v: want less than 45 s and a minute", unconfirmed, silent)
	}
}
