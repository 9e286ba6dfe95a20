package gatewaytest_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"tidegate/gateway/gatewaytest"
)

func TestServe_LeavesNothing(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stop := gatewaytest.Serve(listener, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// The body is larger than what the server would read to keep the connection open.
	if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
		t.Fatal(err)
	}
	stop()
	stacks := make([]byte, 1<<20)
	if running := string(stacks[:runtime.Stack(stacks, true)]); strings.Contains(running, "net/http.(*conn)") {
		t.Errorf("a connection is still served:\n%s", running)
	}
}
