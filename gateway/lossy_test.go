package gateway_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/rules"
)

// lossy is a broker that loses, repeats and refuses messages as told.
type lossy struct {
	*broker.Memory
	receiver  broker.Receiver
	losing    atomic.Bool  // live messages are lost
	repeating atomic.Bool  // live messages arrive twice
	away      atomic.Bool  // the history cannot be read
	without   atomic.Value // string: the channel whose history cannot be read
	reads     atomic.Int64
	left      atomic.Bool // a channel was unsubscribed
}

func (l *lossy) Unsubscribe(ctx context.Context, channel string) error {
	l.left.Store(true)
	return l.Memory.Unsubscribe(ctx, channel)
}

func newLossy() *lossy { return &lossy{Memory: broker.NewMemory()} }

func (l *lossy) Run(ctx context.Context, r broker.Receiver) error {
	l.receiver = r
	return l.Memory.Run(ctx, l)
}

func (l *lossy) Receive(m broker.Message) {
	if l.losing.Load() {
		return
	}
	l.receiver.Receive(m)
	if l.repeating.Load() {
		l.receiver.Receive(m)
	}
}

func (l *lossy) Gap(channels []string, err error) { l.receiver.Gap(channels, err) }
func (l *lossy) Link(err error)                   { l.receiver.Link(err) }
func (l *lossy) Rest()                            { l.receiver.Rest() }

// publishBare publishes like a client that does not know of gateways.
func (l *lossy) publishBare(t testing.TB, channel, payload string) {
	t.Helper()
	if _, err := broker.Publish(t.Context(), l, broker.Message{Channel: channel, Payload: []byte(payload)}, broker.PublishOptions{Bare: true}); err != nil {
		t.Fatal(err)
	}
}

func (l *lossy) Since(ctx context.Context, channel string, after broker.Position, most broker.Most) (broker.Page, error) {
	l.reads.Add(1)
	if l.away.Load() || l.without.Load() == channel {
		return broker.Page{}, broker.ErrUnavailable
	}
	return l.Memory.Since(ctx, channel, after, most)
}

var errCut = errors.New("the link was cut")

func startLossy(t testing.TB, size int, limits gateway.Limits) (*node, *lossy) {
	l := newLossy()
	rules := rules.List{{Match: "kept:*", Subscribe: rules.Anyone, Publish: rules.Anyone, HistorySize: size},
		{Match: "*", Subscribe: rules.Anyone, Publish: rules.Anyone}}
	return startNode(t, gateway.Config{Broker: l, History: l, Rules: rules, Limits: limits}), l
}
