package transport

import (
	"cmp"
	"fmt"
	"net"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tidegate/gateway"
)

// If a client vanishes without closing its connection and packets to it are dropped, the
// kernel ends the session, whatever the client waits for: its keep-alive probes stay
// unanswered, or what it has sent stays unacknowledged.
func TestVanish_TheKernelEndsTheSession(t *testing.T) {
	for name, path := range map[string]string{"long-poll": "/poll?channel=a&wait=60s", "SSE": "/events?channel=a"} {
		request := func(n *node) string {
			return fmt.Sprintf("GET %s&cursor=%s HTTP/1.1\r\nHost: localhost\r\n\r\n", path, n.publish("a", "1"))
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, client := impatient(t)
			fmt.Fprint(client, request(n))
			n.awaitSessions(1)
			vanish(t, client)
			n.awaitSessions(0)
		})
		t.Run(name+", the answer is never received", func(t *testing.T) {
			t.Parallel()
			n, client := impatient(t)
			vanish(t, client)
			fmt.Fprint(client, request(n))
			n.awaitSessions(1)
			n.awaitSessions(0)
		})
	}
}

// impatient starts a node that gives silent clients up sooner than the program does, by the
// same socket options, and connects to it.
func impatient(t *testing.T) (*node, net.Conn) {
	t.Helper()
	n := newNode(t, gateway.Config{})
	n.server = probing(t, n)
	client, err := net.Dial("tcp", n.server.Listener.Addr().String())
	must(t, err)
	t.Cleanup(func() { client.Close() })
	return n, client
}

func probing(t *testing.T, n *node) *httptest.Server {
	t.Helper()
	often := net.ListenConfig{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: 2},
		Control: func(_, _ string, socket syscall.RawConn) (err error) {
			controlled := socket.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 3000)
			})
			return cmp.Or(controlled, err)
		},
	}
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
