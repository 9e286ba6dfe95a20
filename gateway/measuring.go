package gateway

import (
	"context"
	"slices"
	"strings"
	"time"

	"tidegate/gateway/internal/hub"
)

// Load returns how busy the nodes are that are alive, and at most so many of their
// channels and of their slow sessions. A node that does not answer is Silent.
func (g *Gateway) Load(ctx context.Context, most int) (Load, error) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	var sum Load
	_, err := g.cluster.Ask(ctx, measureLoad, errand{Most: most}, g.holding(ctx, decoded(g, measureLoad, sum.add)))
	if err != nil {
		return Load{}, ErrorOf(err)
	}
	for node, about := range g.cluster.Others() {
		if !slices.ContainsFunc(sum.Nodes, func(n NodeLoad) bool { return n.Node == node }) {
			silent := NodeLoad{NodeInfo: NodeInfo{Node: node}, Silent: true}
			decoded(g, describeNode, func(n NodeInfo) { silent.NodeInfo = n })(about)
			sum.Nodes = append(sum.Nodes, silent)
		}
	}
	slices.SortFunc(sum.Nodes, func(a, b NodeLoad) int { return strings.Compare(a.Node, b.Node) })
	sum.cut(most)
	return sum, nil
}

// loadHere tells how busy this node is, since it was asked last.
func (g *Gateway) loadHere(most int) Load {
	last := g.measured.Load()
	if last != nil && time.Since(last.at) < leastSpan {
		return last.said
	}
	now := &measurement{at: time.Now(), totals: g.metrics.Totals(), channels: make(map[string]uint64)}
	g.hub.Each(func(ch *hub.Channel) {
		audience, messages := ch.Audience()
		if messages == 0 {
			return
		}
		now.channels[ch.Name()] = messages
		if rate := last.rateOf(now, ch.Name()); rate > 0 {
			now.said.Channels = append(now.said.Channels, ChannelLoad{ch.Name(), rate, len(audience)})
		}
	})
	slow, _ := g.sessions.slow()
	for _, s := range slow {
		now.said.Slow = append(now.said.Slow, SlowSession{s.session.id, g.node, s.session.who().User, s.session.transport, s.bytes})
	}
	now.said.Nodes = []NodeLoad{g.nodeLoad(last, now, len(slow))}
	now.said.cut(most)
	g.measured.Store(now)
	time.AfterFunc(measurementLife, func() { g.measured.CompareAndSwap(now, nil) })
	return now.said
}

func (g *Gateway) nodeLoad(last, now *measurement, slow int) NodeLoad {
	n := NodeLoad{
		NodeInfo: g.about(), Channels: g.hub.Channels(), Subscriptions: g.hub.Subscriptions(),
		Waiting: g.sessions.waiting(), Slow: slow,
	}
	if err := g.Ready(); err != nil {
		n.Unready = err.Error()
	}
	if last == nil {
		return n
	}
	n.Span = now.at.Sub(last.at)
	rate := func(now, before float64) float64 { return (now - before) / n.Span.Seconds() }
	is, was := &now.totals, &last.totals
	n.Opened, n.Published, n.Failed = rate(is.Opened, was.Opened), rate(is.Published, was.Published), rate(is.Failed, was.Failed)
	n.Received, n.Delivered, n.Bytes = rate(is.Received, was.Received), rate(is.Delivered, was.Delivered), rate(is.Bytes, was.Bytes)
	n.Lag, n.RoundTrip = is.Delivery.Since(was.Delivery).Within(0.99), is.RoundTrip.Since(was.RoundTrip).Within(0.99)
	return n
}
