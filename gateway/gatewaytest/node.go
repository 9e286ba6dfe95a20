// Package gatewaytest provides what the tests of transports and protocols share: a gateway
// that runs until the test ends, and a browser.
package gatewaytest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"tidegate/broker"
	"tidegate/broker/brokertest"
	"tidegate/gateway"
	"tidegate/gateway/rules"
	"tidegate/metrics"
)

// Complete returns c with defaults for tests in all fields that are not set: a broker in
// memory, rules that allow everything, no limit on the rate of commands, and tokens that are
// the name of the user.
func Complete(c gateway.Config) gateway.Config {
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
	if c.Auth == nil {
		c.Auth = bearers{}
	}
	if c.Metrics == nil {
		c.Metrics = metrics.New("")
	}
	return c
}

// bearers authenticates a client as the user whose name is the token. It rejects the token
// "bad".
type bearers struct{}

func (bearers) Authenticate(_ context.Context, token string) (gateway.Principal, error) {
	if token == "bad" {
		return gateway.Principal{}, &gateway.Error{Code: gateway.Unauthenticated, Message: "the token is bad"}
	}
	return gateway.Principal{User: token}, nil
}

// Run starts a gateway and returns when it is ready. The gateway runs until stop is called
// or the test ends. stop waits for that and may be called more than once. At the end of the
// test, Run calls after.
func Run(t testing.TB, g *gateway.Gateway, after func()) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := g.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-ended })
	t.Cleanup(func() {
		stop()
		after()
	})
	brokertest.Eventually(t, "the node to be ready", func() bool { return g.Ready() == nil })
	return stop
}

// Publish publishes as a backend. It is safe for concurrent use.
func Publish(t testing.TB, g *gateway.Gateway, p gateway.Publish) broker.Position {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), brokertest.Patience)
	defer cancel()
	position, err := g.Publish(ctx, &gateway.Principal{Key: "tests"}, p)
	if err != nil {
		t.Errorf("publish to %s: %v", p.Channel, err)
	}
	return position
}

// Sum returns the sum of a metric over all its labels.
func Sum(t testing.TB, m *metrics.Metrics, metric string) (total int) {
	t.Helper()
	recorder := httptest.NewRecorder()
	m.Handler().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for line := range strings.Lines(recorder.Body.String()) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name != metric && !strings.HasPrefix(name, metric+"{") {
			continue
		}
		count, err := strconv.Atoi(value)
		if err != nil {
			t.Fatal(err)
		}
		total += count
	}
	return total
}
