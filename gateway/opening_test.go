package gateway_test

import (
	"context"
	"testing"
	"testing/synctest"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/metrics"
)

// A session that could not open is counted by its reason, both as refused and as closed.
func TestOpen_CountsWhyASessionWasNotOpened(t *testing.T) {
	m := metrics.New("")
	n := startNode(t, gateway.Config{Broker: without{broker.NewMemory(), "@alice"}, Metrics: m, NoAnonymous: true})
	for _, test := range []struct {
		hello        gateway.Hello
		code, reason string
	}{
		{gateway.Hello{Principal: gateway.Principal{User: "alice"}}, "unavailable", "overloaded"},
		{gateway.Hello{}, "unauthenticated", "unauthenticated"},
		{gateway.Hello{Principal: gateway.Principal{User: "bob"}, Channels: []string{"@alice"}}, "forbidden", "policy"},
	} {
		_, err := n.tryConnect(test.hello)
		if got := gateway.ErrorOf(err).Code; string(got) != test.code {
			t.Errorf("%s, want %s: %v", got, test.code, err)
		}
		if got := countOf(t, m, "tidegate_session_refused_total", test.code); got != 1 {
			t.Errorf("%s: %v were refused, want 1", test.code, got)
		}
		if got := countOf(t, m, "tidegate_session_closed_total", test.reason); got != 1 {
			t.Errorf("%s: %v were closed as %s, want 1", test.code, got, test.reason)
		}
	}
}

// A client is told why its session has ended before it was open.
func TestOpen_SaysWhyTheSessionHasEndedMeanwhile(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(ctx context.Context, n *node) error
		code gateway.Code
		why  gateway.Reason
	}{
		"disconnected": {func(ctx context.Context, n *node) error {
			_, err := n.Users.Disconnect(ctx, gateway.Whose{User: "alice"})
			return err
		}, gateway.Forbidden, gateway.Disconnected},
		"drained": {func(ctx context.Context, n *node) error {
			return n.Shutdown(ctx)
		}, gateway.Unavailable, gateway.Draining},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newTurnstile()
				n := startNode(t, gateway.Config{Broker: b, Rules: allOpen})
				refused := make(chan error, 1)
				go func() {
					_, err := n.tryConnect(gateway.Hello{Principal: gateway.Principal{User: "alice"}, Commands: []gateway.Command{gateway.Subscribe{Channel: "room:1"}}})
					refused <- err
				}()
				synctest.Wait()
				must(t, test.end(t.Context(), n))
				synctest.Wait()
				close(b.pass)
				e := gateway.ErrorOf(<-refused)
				if e.Code != test.code || !e.Reason.Is(test.why) || e.Message != test.why.Text {
					t.Errorf("refused with %+v, want %s: %s", e, test.code, test.why.Text)
				}
			})
		})
	}
}

// countOf returns the sum of those series of a metric that have a label of this value.
func countOf(t *testing.T, m *metrics.Metrics, name, label string) (sum float64) {
	t.Helper()
	families, err := m.Gatherer().Gather()
	must(t, err)
	for _, family := range families {
		for _, series := range family.Metric {
			for _, pair := range series.Label {
				if family.GetName() == name && pair.GetValue() == label {
					sum += series.GetCounter().GetValue()
				}
			}
		}
	}
	return sum
}
