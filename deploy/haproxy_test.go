package deploy

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"tidegate/broker/brokertest"
	"time"

	"github.com/coder/websocket"
)

const haproxyFile = "haproxy/haproxy.cfg"

func TestHAProxy_AcceptsItsConfiguration(t *testing.T) {
	run(t, brokertest.FindProgram(t, "haproxy"), "-c", "-f", haproxyFile)
}

// TestHAProxy_DrainsANode: a node that is not ready gets nothing new, from its
// first refusal on, and keeps what it has.
func TestHAProxy_DrainsANode(t *testing.T) {
	a, b := newNode(t, "a"), newNode(t, "b")
	balancer := startHAProxy(t, a, b)
	address := balancer.clients

	session, on := dial(t, address)
	leaving, staying := a, b
	if on == "b" {
		leaving, staying = b, a
	}
	leaving.draining.Store(true)

	for range 20 {
		if got := get(t, address); got != staying.name {
			t.Fatalf("a request went to %q, want %q: the other one drains", got, staying.name)
		}
		_, on := dial(t, address)
		if on != staying.name {
			t.Fatalf("a new session went to %q, want %q: the other one drains", on, staying.name)
		}
	}
	waitUntilDown(t, balancer.statistics, leaving)
	if got := echo(t, session, "still here"); got != "still here" {
		t.Errorf("the session on the draining node hears %q", got)
	}

	staying.draining.Store(true)
	waitUntilDown(t, balancer.statistics, staying)
	response, err := http.Get("http://" + address + "/poll")
	must(t, err)
	defer response.Body.Close()
	const unavailable = `{"error":{"code":"unavailable","message":"no node is ready"}}`
	if said, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusServiceUnavailable || string(said) != unavailable {
		t.Errorf("where no node is ready a request is answered %s %q, want 503 %s", response.Status, said, unavailable)
	}
	stream, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/events?channel=a", nil)
	must(t, err)
	stream.Header.Set("Origin", "https://app.example.com")
	if got := do(t, stream); got != "retry: 5000\n\n" {
		t.Errorf("an EventSource hears %q where no node is ready, want only when to come back", got)
	}
}

func TestHAProxy_ClientsOfAKilledNodeComeBack(t *testing.T) {
	a, b := newNode(t, "a"), newNode(t, "b")
	address := startHAProxy(t, a, b).clients

	session, on := dial(t, address)
	killed, left := a, b
	if on == "b" {
		killed, left = b, a
	}
	killed.kill()
	if _, _, err := session.Read(t.Context()); err == nil {
		t.Fatal("the session outlives its node")
	}
	for range 20 {
		if _, on := dial(t, address); on != left.name {
			t.Fatalf("the client came back on %q, want %q", on, left.name)
		}
	}
}

// TestHAProxy_PublishesGoPastNodesThatEnded: the fewest sessions make a node the
// first choice, and those that ended have none.
func TestHAProxy_PublishesGoPastNodesThatEnded(t *testing.T) {
	nodes := []*node{newNode(t, "a"), newNode(t, "b"), newNode(t, "c")}
	address := startHAProxy(t, nodes...).clients

	_, left := dial(t, address)
	for _, n := range nodes {
		if n.name != left {
			n.kill()
		}
	}
	for range 20 {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address, strings.NewReader("hi"))
		must(t, err)
		if got := do(t, request); got != left {
			t.Fatalf("a publish went to %q, want %q: the others have ended", got, left)
		}
	}
}

// TestHAProxy_AsksNothingTwiceThatEndsANode: what one node took and did not answer
// must not end the next one.
func TestHAProxy_AsksNothingTwiceThatEndsANode(t *testing.T) {
	nodes := []*node{newNode(t, "a"), newNode(t, "b"), newNode(t, "c")}
	address := startHAProxy(t, nodes...).clients
	expectOneEnds(t, address, nodes)
}

// expectOneEnds asks what ends a node, and sees to it that it reaches only one.
func expectOneEnds(t *testing.T, address string, nodes []*node) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/deadly", nil)
	must(t, err)
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	must(t, err)
	response.Body.Close()
	if response.StatusCode != http.StatusBadGateway {
		t.Errorf("answered %s, want 502", response.Status)
	}
	ended := int32(0)
	for _, n := range nodes {
		ended += n.ended.Load()
	}
	if ended != 1 {
		t.Errorf("the request ended %d nodes, want 1", ended)
	}
}

// TestHAProxy_TellsItsStateToFew: what Prometheus asks has no page of statistics, which
// listens on this machine alone, and no address but private ones gets an answer.
func TestHAProxy_TellsItsStateToFew(t *testing.T) {
	a := newNode(t, "a")
	balancer := startHAProxy(t, a)
	if !strings.Contains(get(t, balancer.metrics+"/metrics"), "haproxy_backend_active_servers") {
		t.Error("Prometheus finds nothing")
	}
	for _, path := range []string{"/", "/;csv"} {
		if got := status(t.Context(), "http://"+balancer.metrics+path); got != http.StatusNotFound {
			t.Errorf("%s answers %d, want 404", path, got)
		}
	}
	file := read(t, haproxyFile)
	closed := strings.Replace(file, "src 127.0.0.0/8 ", "src ", 1)
	if got := status(t.Context(), "http://"+startHAProxyWith(t, closed, a).metrics+"/metrics"); closed == file || got != http.StatusForbidden {
		t.Errorf("an address that is not among them gets %d, want 403", got)
	}
}

func TestHAProxy_SaysWhereClientsAre(t *testing.T) {
	a := newNode(t, "a")
	address := startHAProxy(t, a).clients
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/", nil)
	must(t, err)
	request.Header.Set("X-Forwarded-For", "203.0.113.9")
	do(t, request)
	if got := a.forwarded.Load(); got != "127.0.0.1" {
		t.Errorf("X-Forwarded-For is %q: what the client claims must not count", got)
	}
}

// node stands in for a gateway: its page and the first frame of its WebSockets
// are its name, and its sessions echo.
type node struct {
	name      string
	draining  atomic.Bool
	forwarded atomic.Value // X-Forwarded-For of the last request
	ended     atomic.Int32 // how often it was asked what ends a node
	server    *httptest.Server
	kill      func() // like the loss of the machine; may be called once more
}

// place is a node that a balancer is to know.
type place interface {
	label() string
	address() string
}

func (n *node) label() string   { return n.name }
func (n *node) address() string { return n.server.Listener.Addr().String() }

func newNode(t *testing.T, name string) *node {
	t.Helper()
	n := &node{name: name}
	ctx, cancel := context.WithCancel(context.Background())
	n.server = httptest.NewUnstartedServer(n)
	n.server.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	n.server.Start()
	n.kill = func() {
		cancel()
		n.server.CloseClientConnections()
		n.server.Close()
	}
	t.Cleanup(n.kill)
	return n
}

func (n *node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/healthz":
	case n.draining.Load():
		http.Error(w, "draining", http.StatusServiceUnavailable)
	case r.URL.Path == "/ws":
		n.serveSession(w, r)
	case r.URL.Path == "/readyz":
	case r.URL.Path == "/unavailable":
		http.Error(w, "the backend is away", http.StatusServiceUnavailable)
	case r.URL.Path == "/deadly":
		n.ended.Add(1)
		panic(http.ErrAbortHandler) // ends the connection without an answer
	default:
		n.forwarded.Store(strings.Join(r.Header.Values("X-Forwarded-For"), ","))
		_, _ = io.WriteString(w, n.name)
	}
}

func (n *node) serveSession(w http.ResponseWriter, r *http.Request) {
	session, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer session.CloseNow()
	for said := []byte(n.name); err == nil; _, said, err = session.Read(r.Context()) {
		if session.Write(r.Context(), websocket.MessageText, said) != nil {
			return
		}
	}
}

// balancer is where HAProxy listens.
type balancer struct{ clients, statistics, metrics string }

// startHAProxy runs HAProxy with the project's file, but for the addresses.
func startHAProxy[Node place](t *testing.T, nodes ...Node) balancer {
	t.Helper()
	return startHAProxyWith(t, read(t, haproxyFile), nodes...)
}

func startHAProxyWith[Node place](t *testing.T, config string, nodes ...Node) balancer {
	t.Helper()
	clients, clientsSocket := listen(t)
	internal, internalSocket := listen(t)
	metrics, metricsSocket := listen(t)
	var servers []string
	for _, n := range nodes {
		servers = append(servers, "    server "+n.label()+" "+n.address())
	}
	config = replaceLine(t, config, "    server-template ", strings.Join(servers, "\n"))
	config = replaceLine(t, config, "    bind :8080", "    bind fd@3")
	config = replaceLine(t, config, "    bind 127.0.0.1:8405", "    bind fd@4")
	config = replaceLine(t, config, "    bind :8404", "    bind fd@5")
	config = replaceLine(t, config, "    fd-hard-limit ", "    fd-hard-limit 1000")
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	write(t, file, config)

	cmd := exec.Command(brokertest.FindProgram(t, "haproxy"), "-db", "-f", file)
	cmd.ExtraFiles = []*os.File{clientsSocket, internalSocket, metricsSocket} // descriptors 3, 4 and 5
	startBalancer(t, cmd)
	return balancer{clients, internal, metrics}
}

// startBalancer runs a program until the test ends. It must log no client's token.
func startBalancer(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if strings.Contains(log.String(), "access_token=") {
			t.Error("it logs a token")
		}
		if t.Failed() {
			t.Log(log.String())
		}
	})
}

// listen returns an address, and its socket for another process to accept on.
func listen(t *testing.T) (address string, socket *os.File) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	socket, err = listener.(*net.TCPListener).File()
	must(t, err)
	t.Cleanup(func() { socket.Close() })
	return listener.Addr().String(), socket
}

func replaceLine(t *testing.T, text, begins, by string) string {
	t.Helper()
	before, rest, found := strings.Cut(text, "\n"+begins)
	_, after, _ := strings.Cut(rest, "\n")
	if !found {
		t.Fatalf("the configuration has no line %q", begins)
	}
	return before + "\n" + by + "\n" + after
}

// waitUntilDown returns when HAProxy has seen that a node is not ready.
func waitUntilDown(t *testing.T, internal string, n *node) {
	t.Helper()
	down := regexp.MustCompile(`(?m)^gateway,` + n.name + `,.*,DOWN,`)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); ; <-tick.C {
		statistics := get(t, internal+"/;csv")
		if down.MatchString(statistics) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("HAProxy does not notice that %s is not ready:\n%s", n.name, statistics)
		}
	}
}

// dial opens a session and returns the name of its node.
func dial(t *testing.T, address string) (*websocket.Conn, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	session, _, err := websocket.Dial(ctx, "ws://"+address+"/ws", nil)
	must(t, err)
	t.Cleanup(func() { session.CloseNow() })
	return session, hear(t, session)
}

func echo(t *testing.T, session *websocket.Conn, text string) string {
	t.Helper()
	must(t, session.Write(t.Context(), websocket.MessageText, []byte(text)))
	return hear(t, session)
}

func hear(t *testing.T, session *websocket.Conn) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, text, err := session.Read(ctx)
	must(t, err)
	return string(text)
}

func get(t *testing.T, address string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address, nil)
	must(t, err)
	return do(t, request)
}

func do(t *testing.T, request *http.Request) string {
	t.Helper()
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	must(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v", response.Status, err)
	}
	return string(body)
}
