package gateway_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/rules"
)

// moody is a broker that does not confirm messages on channels named away:…, and panics for
// those on channels named panic:….
type moody struct {
	*broker.Memory
	away atomic.Int64 // messages on channels named away:…
}

func (m *moody) Publish(message broker.Message, o broker.PublishOptions, done func(broker.Position, error)) {
	switch {
	case strings.HasPrefix(message.Channel, "away:"):
		m.away.Add(1)
		done(broker.Position{}, broker.ErrUnavailable)
	case strings.HasPrefix(message.Channel, "panic:"):
		panic("publish")
	default:
		m.Memory.Publish(message, o, done)
	}
}

func publishAll(t *testing.T, channels ...string) (outcomes []gateway.Outcome, b *moody) {
	t.Helper()
	b = &moody{Memory: broker.NewMemory()}
	n := startNode(t, gateway.Config{
		Broker: b, History: b.Memory, Rules: rules.List{{Match: "*", Subscribe: rules.Anyone, HistorySize: 1000}},
	})
	list := make([]gateway.Publish, len(channels))
	for i, channel := range channels {
		list[i] = gateway.Publish{Channel: channel, Payload: fmt.Append(nil, i)}
	}
	return n.PublishAll(t.Context(), &backend, "", list), b
}

func TestPublishAll_KeepsTheOrderOfAChannel(t *testing.T) {
	var channels []string
	for i := range 300 {
		channels = append(channels, fmt.Sprint(i%30))
	}
	outcomes, _ := publishAll(t, channels...)
	for i, o := range outcomes {
		if want := uint64(i/30 + 1); o.Err != nil || o.Position.Offset != want {
			t.Errorf("publish %d has the position %v, want the offset %d: %v", i, o.Position, want, o.Err)
		}
	}
}

func TestPublishAll_StopsWhenTheBrokerDoesNotConfirm(t *testing.T) {
	channels := make([]string, 1000)
	for i := range channels {
		channels[i] = fmt.Sprintf("away:%d", i%100)
	}
	outcomes, b := publishAll(t, channels...)
	for i, o := range outcomes {
		if gateway.ErrorOf(o.Err).Code != gateway.Unavailable {
			t.Errorf("publish %d: %v", i, o.Err)
		}
	}
	if tried := b.away.Load(); tried > 16 {
		t.Errorf("%d publishes were tried, although the first was not confirmed", tried)
	}
}

func TestPublishAll_APanicFailsOneChannel(t *testing.T) {
	outcomes, _ := publishAll(t, "a", "panic:a", "b", "panic:a", "a")
	for i, fails := range []bool{false, true, false, true, false} {
		if err := outcomes[i].Err; fails != (err != nil) || fails && gateway.ErrorOf(err).Code != gateway.Internal {
			t.Errorf("publish %d: %v", i, err)
		}
	}
}
