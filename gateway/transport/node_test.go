package transport

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
	"tidegate/gateway"
	"tidegate/gateway/gatewaytest"
	"tidegate/gateway/native"
	"tidegate/metrics"
)

// patience is how long these tests wait for an expected event before they fail.
const patience = 30 * time.Second

// node is a running gateway with a real HTTP server.
type node struct {
	*gateway.Gateway
	t       testing.TB
	server  *httptest.Server
	mux     *http.ServeMux
	metrics *metrics.Metrics
	stop    func()
}

// startNode runs a gateway until the test ends. Fields of c that are not set get defaults
// for tests.
func startNode(t testing.TB, c gateway.Config) *node {
	t.Helper()
	n := newNode(t, c)
	n.server = httptest.NewServer(n.mux)
	return n
}

func newNode(t testing.TB, c gateway.Config) *node {
	t.Helper()
	c = gatewaytest.Complete(c)
	g, err := gateway.New(c)
	must(t, err)
	n := &node{Gateway: g, t: t, mux: http.NewServeMux(), metrics: c.Metrics}
	n.mux.Handle("/events", Strict(Stream(&SSE{Gateway: g, Native: native.Protocol{}})))
	n.mux.Handle("/poll", Strict(Stream(&LongPoll{Gateway: g, Native: native.Protocol{}})))
	n.run()
	return n
}

func (n *node) run() {
	n.t.Helper()
	n.stop = gatewaytest.Run(n.t, n.Gateway, func() { n.server.Close() })
}

func (n *node) awaitSessions(want int) {
	n.t.Helper()
	n.awaitThat(fmt.Sprintf("there are %d sessions", want), func() bool { return n.sessions() == want })
}

// awaitThat polls until a condition is true.
func (n *node) awaitThat(what string, met func() bool) {
	n.t.Helper()
	brokertest.Eventually(n.t, what, met)
}

// publish publishes JSON as a backend. It is safe for concurrent use.
func (n *node) publish(channel, payload string) broker.Position {
	n.t.Helper()
	return n.publishAs(gateway.Publish{Channel: channel, Payload: []byte(payload), Kind: broker.JSON})
}

func (n *node) publishAs(p gateway.Publish) broker.Position {
	n.t.Helper()
	return gatewaytest.Publish(n.t, n.Gateway, p)
}

// sessions returns the number of open sessions according to the metrics.
func (n *node) sessions() int { return n.sum("tidegate_sessions") }

// awaitSubscribed waits until the sessions have that many subscriptions. From then on they
// receive what is published.
func (n *node) awaitSubscribed(want int) {
	n.t.Helper()
	n.awaitThat(fmt.Sprintf("there are %d subscriptions", want), func() bool { return n.sum("tidegate_subscriptions") == want })
}

// sum returns the sum of a metric over all its labels.
func (n *node) sum(metric string) int { return gatewaytest.Sum(n.t, n.metrics, metric) }
