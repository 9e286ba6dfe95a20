package metrics

import (
	"testing"
	"time"
)

func TestTotals_AreWhatWasCounted(t *testing.T) {
	m := New("")
	m.Sessions.Opened("websocket", "native")
	m.Messages.Publish("ok").Observe(0.1)
	m.Messages.Publish("ok").Observe(0.1)
	m.Messages.Publish("unavailable").Observe(1)
	m.Messages.Enveloped.Add(3)
	m.Messages.Bare.Inc()
	m.Messages.Delivered("native").Add(5)
	m.Messages.Delivered("raw").Add(6)
	m.Messages.Bytes.Add(7)
	got := m.Totals()
	if got.Opened != 1 || got.Published != 2 || got.Failed != 1 || got.Received != 4 || got.Delivered != 11 || got.Bytes != 7 {
		t.Errorf("%+v", got)
	}
}

func TestSpread_Within(t *testing.T) {
	m := New("")
	observe := func(n int, seconds float64) {
		for range n {
			m.Messages.DeliverySeconds.Observe(seconds)
		}
	}
	within := func(before Spread) time.Duration { return m.Totals().Delivery.Since(before).Within(0.99) }
	if got := within(Spread{}); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
	observe(99, 0.0002)
	observe(1, 0.3)
	if got := within(Spread{}); got != 250*time.Microsecond {
		t.Errorf("99 of 100 within %v, want 250µs", got)
	}
	before := m.Totals().Delivery
	observe(1, 0.02)
	if got := within(before); got != 25*time.Millisecond {
		t.Errorf("since then within %v, want 25ms", got)
	}
	observe(9, 60)
	if got := within(before); got != 2500*time.Millisecond {
		t.Errorf("beyond the last bound %v, want it", got)
	}
}
