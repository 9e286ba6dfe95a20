package transport

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/native"
	"tidegate/gateway/rules"
	"tidegate/metrics"
)

// patience is how long these tests wait for what must happen.
const patience = 30 * time.Second

// node is a running gateway behind a real HTTP server.
type node struct {
	*gateway.Gateway
	t       testing.TB
	server  *httptest.Server
	mux     *http.ServeMux
	metrics *metrics.Metrics
	stop    func()
}

// startNode runs a gateway until the test ends. Fields of c that are not set get
// what a test needs.
func startNode(t testing.TB, c gateway.Config) *node {
	t.Helper()
	n := newNode(t, c)
	n.server = httptest.NewServer(n.mux)
	return n
}

func newNode(t testing.TB, c gateway.Config) *node {
	t.Helper()
	if c.Broker == nil {
		memory := broker.NewMemory()
		c.Broker, c.History = memory, memory
	}
	if c.Rules == nil {
		c.Rules = rules.Development()
	}
	if c.Limits == (gateway.Limits{}) {
		c.Limits = gateway.DefaultLimits()
		c.Limits.CommandsPerSecond = 0
	}
	c.Auth = bearers{}
	c.Metrics = metrics.New("")
	g, err := gateway.New(c)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{Gateway: g, t: t, mux: http.NewServeMux(), metrics: c.Metrics}
	n.mux.Handle("/events", Strict(Stream(&SSE{Gateway: g, Native: native.Protocol{}})))
	n.mux.Handle("/poll", Strict(Stream(&LongPoll{Gateway: g, Native: native.Protocol{}})))
	n.run()
	return n
}

func (n *node) run() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := n.Run(ctx); err != nil {
			n.t.Errorf("Run: %v", err)
		}
	}()
	n.stop = sync.OnceFunc(func() { cancel(); <-ended })
	n.t.Cleanup(func() {
		n.stop()
		n.server.Close()
	})
	n.awaitThat("the node is ready", func() bool { return n.Ready() == nil })
}

// bearers authenticates a token as the user of that name.
type bearers struct{}

func (bearers) Authenticate(_ context.Context, token string) (gateway.Principal, error) {
	if token == "bad" {
		return gateway.Principal{}, &gateway.Error{Code: gateway.Unauthenticated, Message: "the token is bad"}
	}
	return gateway.Principal{User: token}, nil
}

func (n *node) awaitSessions(want int) {
	n.t.Helper()
	n.awaitThat(fmt.Sprintf("there are %d sessions", want), func() bool { return n.sessions() == want })
}

// awaitThat polls, for conditions that nothing announces.
func (n *node) awaitThat(what string, met func() bool) {
	n.t.Helper()
	awaitThat(n.t, what, met)
}

func awaitThat(t testing.TB, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !met(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

// publish publishes JSON as a backend. It may be called by any goroutine.
func (n *node) publish(channel, payload string) broker.Position {
	n.t.Helper()
	return n.publishAs(gateway.Publish{Channel: channel, Payload: []byte(payload), Kind: broker.JSON})
}

func (n *node) publishAs(p gateway.Publish) broker.Position {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	backend := gateway.Principal{Key: "tests"}
	position, err := n.Publish(ctx, &backend, p)
	if err != nil {
		n.t.Errorf("publish to %s: %v", p.Channel, err)
	}
	return position
}

// sessions returns how many sessions are open, as Prometheus is told.
func (n *node) sessions() int { return n.sum("tidegate_sessions") }

// awaitSubscribed waits until the sessions have so many subscriptions: from then on they
// hear what is published.
func (n *node) awaitSubscribed(want int) {
	n.t.Helper()
	n.awaitThat(fmt.Sprintf("there are %d subscriptions", want), func() bool { return n.sum("tidegate_subscriptions") == want })
}

// sum returns the sum of a metric over its labels.
func (n *node) sum(metric string) int {
	recorder := httptest.NewRecorder()
	n.metrics.Handler().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	total := 0
	for line := range strings.Lines(recorder.Body.String()) {
		if name, value, _ := strings.Cut(strings.TrimSpace(line), " "); name == metric || strings.HasPrefix(name, metric+"{") {
			count, err := strconv.Atoi(value)
			if err != nil {
				n.t.Fatal(err)
			}
			total += count
		}
	}
	return total
}
