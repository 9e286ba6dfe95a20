package transport

import (
	"fmt"
	"net"
	"net/http/httptest"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tidegate/gateway"
)

// If a client vanishes without closing its connection and packets to it are dropped, the
// kernel's keep-alive probes end the session, whatever the client waits for.
func TestVanish_TheKernelsProbesEndTheSession(t *testing.T) {
	for name, path := range map[string]string{"long-poll": "/poll?channel=a&wait=60s", "SSE": "/events?channel=a"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, gateway.Config{})
			at := n.publish("a", "1")
			n.server = probing(t, n)
			client, err := net.Dial("tcp", n.server.Listener.Addr().String())
			must(t, err)
			defer client.Close()
			fmt.Fprintf(client, "GET %s&cursor=%s HTTP/1.1\r\nHost: localhost\r\n\r\n", path, at)
			n.awaitSessions(1)
			vanish(t, client)
			n.awaitSessions(0)
		})
	}
}

// probing starts a server that probes silent clients more often than a gateway does.
func probing(t *testing.T, n *node) *httptest.Server {
	t.Helper()
	often := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: 2}}
	l, err := often.Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	server := httptest.NewUnstartedServer(n.mux)
	server.Listener.Close()
	server.Listener = l
	server.Start()
	return server
}

// vanish makes the kernel drop all packets to a connection without an answer.
func vanish(t *testing.T, c net.Conn) {
	t.Helper()
	socket, err := c.(*net.TCPConn).SyscallConn()
	must(t, err)
	nothing := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
	var attached error
	controlled := socket.Control(func(fd uintptr) {
		attached = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &nothing})
	})
	if controlled != nil || attached != nil {
		t.Fatal(controlled, attached)
	}
}
