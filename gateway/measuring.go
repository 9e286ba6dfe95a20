package gateway

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"tidegate/gateway/internal/hub"
	"tidegate/metrics"
)

// Load returns the load of the live nodes, with at most most of their channels and of their
// slow sessions, both up to MostLoads. A node that does not answer is Silent.
func (n *Nodes) Load(ctx context.Context, most int) (sum Load, err error) {
	sum = Load{Nodes: []NodeLoad{}, Channels: []ChannelLoad{}, Slow: []SlowSession{}} // their JSON is a list
	err = n.survey(ctx, measureLoad, errand{Most: most}, decoded(n, measureLoad, sum.add), func(silent NodeInfo) {
		if !slices.ContainsFunc(sum.Nodes, func(of NodeLoad) bool { return of.Node == silent.Node }) {
			sum.Nodes = append(sum.Nodes, NodeLoad{NodeInfo: silent, Silent: true})
		}
	})
	if err != nil {
		return Load{}, err
	}
	slices.SortFunc(sum.Nodes, func(a, b NodeLoad) int { return strings.Compare(a.Node, b.Node) })
	sum.cut(most)
	return sum, nil
}

// meter measures how busy this node is.
type meter struct {
	// Immutable.
	about    func() NodeInfo
	ready    func() error
	hub      *hub.Hub
	metrics  *metrics.Metrics
	sessions *sessions

	last atomic.Pointer[measurement] // at the last question; nil: there was none for a while
}

// read returns the load of this node since the last call.
func (m *meter) read(most int) Load {
	last := m.last.Load()
	if last != nil && time.Since(last.at) < leastSpan {
		return last.said.first(most)
	}
	now := &measurement{at: time.Now(), totals: m.metrics.Totals(), channels: make(map[string]uint64)}
	m.hub.Each(func(ch *hub.Channel) {
		audience, messages := ch.Audience()
		if messages == 0 {
			return
		}
		now.channels[ch.Name()] = messages
		if rate := last.rateOf(now, ch.Name()); rate > 0 {
			now.said.Channels = append(now.said.Channels, ChannelLoad{ch.Name(), rate, len(audience)})
		}
	})
	slow, _ := m.sessions.slow()
	for _, s := range slow {
		now.said.Slow = append(now.said.Slow, SlowSession{s.session.id, s.session.gateway.node, s.session.who().User, s.session.transport, s.bytes})
	}
	now.said.Nodes = []NodeLoad{m.nodeLoad(last, now, len(slow))}
	now.said.cut(MostLoads)
	m.last.Store(now)
	time.AfterFunc(measurementLife, func() { m.last.CompareAndSwap(now, nil) })
	return now.said.first(most)
}

func (m *meter) nodeLoad(last, now *measurement, slow int) NodeLoad {
	n := NodeLoad{
		NodeInfo: m.about(), Channels: m.hub.Channels(), Subscriptions: m.hub.Subscriptions(),
		Waiting: m.sessions.waiting(), Slow: slow,
	}
	if err := m.ready(); err != nil {
		n.Unready = err.Error()
	}
	if last == nil {
		return n
	}
	over := now.at.Sub(last.at).Seconds()
	rate := func(now, before float64) float64 { return (now - before) / over }
	is, was := &now.totals, &last.totals
	n.Rates = &LoadRates{
		Over: over, Opened: rate(is.Opened, was.Opened), Published: rate(is.Published, was.Published), Failed: rate(is.Failed, was.Failed),
		Received: rate(is.Received, was.Received), Delivered: rate(is.Delivered, was.Delivered), Bytes: rate(is.Bytes, was.Bytes),
		Lag:       milliseconds(is.Delivery.Since(was.Delivery).Within(0.99)),
		RoundTrip: milliseconds(is.RoundTrip.Since(was.RoundTrip).Within(0.99)),
	}
	return n
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
