package websocket

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
	"tidegate/gateway"
	"tidegate/gateway/gatewaytest"
	"tidegate/gateway/native"
	"tidegate/gateway/transport"
	"tidegate/metrics"
)

// patience is how long these tests wait for an event that must happen.
const patience = 30 * time.Second

// node is a running gateway behind a real HTTP server.
type node struct {
	*gateway.Gateway
	t         testing.TB
	server    *httptest.Server
	webSocket *Server
	mux       *http.ServeMux
	metrics   *metrics.Metrics
	stop      func()
}

// startNode runs a gateway until the test ends. Unset fields of c get values that suit
// tests.
func startNode(t testing.TB, c gateway.Config) *node {
	t.Helper()
	n := newNode(t, c)
	n.server = httptest.NewServer(n.mux)
	return n
}

func startSecureNode(t testing.TB, c gateway.Config) *node {
	t.Helper()
	n := newNode(t, c)
	n.server = httptest.NewTLSServer(n.mux)
	return n
}

// startFrontNode runs a node that serves plain handshakes itself.
func startFrontNode(t testing.TB, c gateway.Config) *node {
	t.Helper()
	n := newNode(t, c)
	n.startFront()
	return n
}

func (n *node) startFront() {
	n.server = httptest.NewUnstartedServer(n.mux)
	n.server.Listener = n.webSocket.Front(n.server.Listener, n.server.Config, n.mux)
	n.server.Start()
}

// starter starts a node, as startNode does.
type starter func(testing.TB, gateway.Config) *node

// startPortableNode runs a node with the engine portable.
func startPortableNode(t testing.TB, c gateway.Config) *node {
	t.Helper()
	n := newNode(t, c)
	n.webSocket.Engine = Portable
	n.startFront() // as the program does whatever the engine is
	return n
}

// eachEngine runs a test with each engine.
func eachEngine(t *testing.T, test func(t *testing.T, start starter)) {
	each(t, map[string]starter{"epoll": startNode, "front": startFrontNode, "portable": startPortableNode}, test)
}

// eachEngineAndTLS runs a test with each engine and with TLS. The test's clients must
// support TLS.
func eachEngineAndTLS(t *testing.T, test func(t *testing.T, start starter)) {
	each(t, map[string]starter{"epoll": startNode, "front": startFrontNode, "portable": startPortableNode, "TLS": startSecureNode}, test)
}

func each(t *testing.T, starters map[string]starter, test func(t *testing.T, start starter)) {
	for name, start := range starters {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, start)
		})
	}
}

func newNode(t testing.TB, c gateway.Config) *node {
	t.Helper()
	c = gatewaytest.Complete(c)
	g, err := gateway.New(c)
	must(t, err)
	n := &node{Gateway: g, t: t, mux: http.NewServeMux(), metrics: c.Metrics}
	n.webSocket = &Server{Gateway: g, Origins: transport.Origins{"https://app.example.com"}}
	n.mux.Handle("/ws", n.webSocket.Handler(greetNative, native.Subprotocol))
	n.run()
	return n
}

func (n *node) run() {
	n.t.Helper()
	n.stop = gatewaytest.Run(n.t, n.Gateway, func() {
		n.server.Close()
		n.webSocket.Wait()
	})
}

func greetNative(*http.Request) (gateway.Hello, error) {
	return gateway.Hello{Protocol: native.Protocol{}, AuthLater: true}, nil
}

// awaitThat waits for a condition by polling.
func (n *node) awaitThat(what string, met func() bool) {
	n.t.Helper()
	brokertest.Eventually(n.t, what, met)
}

// address returns the URL of a path, with the given scheme instead of http.
func (n *node) address(scheme, path string) string {
	u, err := url.Parse(n.server.URL)
	must(n.t, err)
	return scheme + "://" + u.Host + path
}

// publish publishes JSON as a backend does. It may be called from any goroutine.
func (n *node) publish(channel, payload string) broker.Position {
	n.t.Helper()
	return n.publishAs(gateway.Publish{Channel: channel, Payload: []byte(payload), Kind: broker.JSON})
}

func (n *node) publishAs(p gateway.Publish) broker.Position {
	n.t.Helper()
	return gatewaytest.Publish(n.t, n.Gateway, p)
}

// sessions returns the number of open sessions, according to the metrics.
func (n *node) sessions() int { return gatewaytest.Sum(n.t, n.metrics, "tidegate_sessions") }
