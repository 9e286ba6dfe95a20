package main

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/cmd/tidegate/internal/config"
)

// ask sends a request unchanged and returns the answer.
func (p *process) ask(request string) (*http.Response, string) {
	p.t.Helper()
	return askAt(p.t, strings.TrimPrefix(p.public(""), "http://"), request)
}

func askAt(t *testing.T, address, request string) (*http.Response, string) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimSuffix(address, "/"))
	must(t, err)
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(patience)))
	request = strings.ReplaceAll(request, "\n", "\r\n")
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	answer, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<16)) // bounded, in case a stream is not refused
	return answer, string(body)
}

// A request is answered as it is meant, or refused.
func TestRoutes_RefuseWhatTheyWouldReadOtherwise(t *testing.T) {
	t.Parallel()
	p := startReady(t, nil)
	const rest = " HTTP/1.1\nHost: localhost\n"
	const upgrade = rest + "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\n"
	for _, c := range []struct {
		request string
		status  int
		allow   string
	}{
		{"HEAD /events?channel=c" + rest + "\n", 405, "GET"},
		{"HEAD /poll?channel=c" + rest + "\n", 405, "GET"},
		{"HEAD /ws" + rest + "\n", 405, "GET"},
		{"HEAD /raw/c" + rest + "\n", 405, "GET"},
		{"POST /events?channel=c" + rest + "Content-Length: 2\n\n", 405, "GET"},
		{"POST /poll?channel=c" + rest + "Content-Length: 2\n\n", 405, "GET"},
		{"POST /ws" + rest + "Content-Length: 2\n\n", 405, "GET"},
		{"OPTIONS /events?channel=c" + rest + "\n", 405, "GET"},
		{"OPTIONS /poll?channel=c" + rest + "\n", 405, "GET"},
		{"OPTIONS /ws" + rest + "\n", 405, "GET"},
		{"OPTIONS /api/nodes" + rest + "\n", 405, "GET, HEAD"},
		{"POST /healthz" + rest + "\n", 405, "GET, HEAD"},
		{"DELETE /readyz" + rest + "\n", 405, "GET, HEAD"},
		{"PUT /api/channels/c/messages" + rest + "\n", 405, "GET, HEAD, POST, DELETE"},
		{"POST /" + rest + "\n", 405, "GET, HEAD"},
		{"POST /nowhere" + rest + "\n", 404, ""},

		{"HEAD /events?channel=c" + rest + "Content-Length: 2\n\n", 400, ""},
		{"GET /events?channel=c" + rest + "Content-Length: 2\n\n", 400, ""},
		{"GET /poll?channel=c&wait=0s" + rest + "Content-Length: 2\n\nhi", 400, ""},
		{"GET /poll?channel=c&wait=0s" + rest + "Transfer-Encoding: chunked\n\n", 400, ""},
		{"GET /ws" + upgrade + "Content-Length: 2\n\n", 400, ""},
		{"GET /raw/c" + upgrade + "Transfer-Encoding: chunked\n\n", 400, ""},
		{"GET /healthz" + rest + "Content-Length: 2\n\n", 400, ""},
		{"DELETE /api/users/u/sessions" + rest + "Content-Length: 2\n\n{}", 400, ""},
		{"DELETE /api/users/u/channels/c" + rest + "Transfer-Encoding: chunked\n\n", 400, ""},
		{"POST /api/users/u/channels/c" + rest + "Content-Length: 2\n\n{}", 400, ""},
		{"POST /api/users/u/channels/c" + rest + "Content-Length: 0\n\n", 200, ""},

		{"GET /poll?channel=c&channel=a;b&wait=0s" + rest + "\n", 400, ""},
		{"GET /poll?channel=c&cursor=x%&wait=0s" + rest + "\n", 400, ""},
		{"GET /events?channel=c&channel=%zz" + rest + "\n", 400, ""},
		{"GET /ws?a;b" + upgrade + "\n", 400, ""},
		{"GET /raw/c?cursor=%" + upgrade + "\n", 400, ""},
		{"GET /api/nodes?a;b" + rest + "\n", 400, ""},
		{"GET /?a;b" + rest + "\n", 400, ""},
		{"POST /api/channels/c/messages?event=a;b" + rest + "Content-Length: 1\n\n1", 400, ""},

		{"POST /api/channels/c/messages" + rest + "Content-Encoding: gzip\nContent-Length: 1\n\n1", 415, ""},
		{"POST /api/publish" + rest + "Content-Encoding: identity\nContent-Encoding: gzip\nContent-Length: 2\n\n{}", 415, ""},
		{"POST /apps/1/events" + rest + "Content-Encoding: gzip\nContent-Length: 2\n\n{}", 415, ""},
		{"POST /pusher/app/key/1/x/xhr_send" + rest + "Content-Encoding: gzip\nContent-Length: 2\n\n[]", 415, ""},
		{"POST /connection/uni_http_stream" + rest + "Content-Encoding: deflate\nContent-Length: 2\n\n{}", 415, ""},
		{"POST /connection/sse" + rest + "Content-Encoding: gzip\nContent-Length: 2\n\n{}", 415, ""},
		{"POST /emulation" + rest + "Content-Encoding: gzip\nTransfer-Encoding: chunked\n\n2\n{}\n0\n\n", 415, ""},
		{"POST /dev/rules" + rest + "Content-Encoding: gzip\nContent-Length: 2\n\n{}", 415, ""},
		{"GET /healthz" + rest + "Content-Encoding: gzip\n\n", 200, ""},

		{"GET /api//nodes" + rest + "\n", 404, ""},
		{"GET /api/./nodes" + rest + "\n", 404, ""},
		{"GET /api/channels/../nodes" + rest + "\n", 404, ""},
		{"POST /api/channels/../messages" + rest + "Content-Length: 2\n\n[]", 404, ""},
		{"GET //events?channel=c" + rest + "\n", 404, ""},
	} {
		answer, body := p.ask(c.request)
		if answer.StatusCode != c.status || answer.Header.Get("Allow") != c.allow {
			t.Errorf("%.60q: %s, Allow %q, %.80q; want %d, Allow %q", c.request, answer.Status, answer.Header.Get("Allow"), body, c.status, c.allow)
		}
	}
}

// A client without permission is refused before it has sent the body, and long before the
// deadline for the complete request.
func TestRoutes_RefuseBeforeTheBodyHasCome(t *testing.T) {
	t.Parallel()
	token := start(t, nil, "token", "--user", "alice")
	token.wait()
	p := startReady(t, nil, "--pusher-apps", `[{id: "1", key: k, secret: s}]`)
	for request, want := range map[string]int{
		"POST /api/publish HTTP/1.1\nHost: localhost\nX-API-Key: nobody\nContent-Length: 9\n\n":                                          401,
		"POST /apps/1/events HTTP/1.1\nHost: localhost\nContent-Length: 9\n\n":                                                           401,
		"POST /apps/2/events HTTP/1.1\nHost: localhost\nContent-Length: 9\n\n":                                                           404,
		"POST /api/channels/c/messages HTTP/1.1\nHost: localhost\nAuthorization: Bearer nobody\nContent-Length: 9\n\n":                   401,
		"POST /api/messages HTTP/1.1\nHost: localhost\nAuthorization: Bearer nobody\nTransfer-Encoding: chunked\n\n":                     401,
		"POST /api/channels/c/messages HTTP/1.1\nHost: localhost\nContent-Type: text/plain\nContent-Length: 99999\n\n":                   413,
		"POST /api/bans HTTP/1.1\nHost: localhost\nAuthorization: Bearer " + strings.TrimSpace(token.said()) + "\nContent-Length: 9\n\n": 403,
	} {
		begun := time.Now()
		answer, _ := p.ask(request)
		if took := time.Since(begun); answer.StatusCode != want || took > requestTimeout/2 {
			t.Errorf("%.70q: %s after %v, want %d at once", request, answer.Status, took, want)
		}
	}
}

// pipes is a listener whose connections are in memory.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// A request whose body does not arrive is refused, and one whose answer is not read is aborted.
func TestServer_EveryRequestHasADeadline(t *testing.T) {
	t.Parallel()
	const head = " HTTP/1.1\r\nHost: localhost\r\n"
	const body = head + "Content-Length: 5\r\n\r\n"
	for name, said := range map[string]string{
		"health":       "POST /healthz" + body,
		"console":      "POST /" + body,
		"poll":         "GET /poll?channel=c" + body,
		"events":       "GET /events?channel=c" + body,
		"events, head": "HEAD /events?channel=c" + body,
		"WebSocket":    "GET /ws" + body,
		"nowhere":      "POST /nowhere" + body,
		"API":          "POST /api/channels/c/messages" + body,
		"stream":       "POST /connection/http_stream" + body,
		"emulation":    "POST /emulation" + body,
		"API, GET":     "GET /api/nodes" + body,
		"pipelined":    strings.Repeat("GET /"+head+"\r\n", 1000),
		"half a head":  "GET /" + head,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := config.Default()
				c.Listen, c.InternalListen = "127.0.0.1:0", "127.0.0.1:0"
				n, err := newNode(&c, slog.New(slog.DiscardHandler))
				must(t, err)
				defer n.public.Close()
				defer n.internal.Close()
				server := n.newServer(n.publicRoutes(), n.publicConnections())
				note, closed := server.ConnState, make(chan struct{})
				server.ConnState = func(c net.Conn, state http.ConnState) {
					if note(c, state); state == http.StateClosed {
						close(closed)
					}
				}
				connections := make(pipes)
				go server.Serve(connections)
				defer server.Close()
				client, served := net.Pipe()
				defer client.Close()
				connections <- served
				go io.WriteString(client, said)
				answered := make(chan string, 1)
				if name != "pipelined" {
					go func() {
						answer, _ := io.ReadAll(client) // until the connection ends
						answered <- string(answer)
					}()
				}
				select {
				case <-closed:
				case <-time.After(2 * requestTimeout):
					t.Fatalf("the connection is still open after %v", 2*requestTimeout)
				}
				if strings.HasSuffix(said, body) {
					if answer := <-answered; !strings.HasPrefix(answer, "HTTP/1.1 4") {
						t.Errorf("the answer is %q", answer)
					}
				}
			})
		})
	}
}
