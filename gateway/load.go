package gateway

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"tidegate/gateway/internal/hub"
	"tidegate/metrics"
)

// Load is how busy the nodes are just now.
type Load struct {
	Nodes    []NodeLoad    `json:"nodes,omitempty"`    // by name
	Channels []ChannelLoad `json:"channels,omitempty"` // those with messages, the busiest first
	Slow     []SlowSession `json:"slow,omitempty"`     // the sessions for which most waits, that one first
}

// NodeLoad is how busy a node is. Rates are by the second, over Span; what a node is
// asked for the first time, or for the first time for a minute, has none yet.
type NodeLoad struct {
	NodeInfo
	Silent        bool          `json:"silent,omitempty"`   // it has not answered: only what it last said of itself is known
	Unready       string        `json:"unready,omitempty"`  // why it is not ready; empty: it is
	Channels      int           `json:"channels,omitempty"` // that its sessions are on
	Subscriptions int           `json:"subscriptions,omitempty"`
	Waiting       int           `json:"waiting,omitempty"` // bytes that are to be written to sessions
	Slow          int           `json:"slow,omitempty"`    // sessions that do not keep up just now
	Span          time.Duration `json:"span,omitempty"`    // that the rates are of; 0: there are none
	Opened        float64       `json:"opened,omitempty"`  // sessions
	Published     float64       `json:"published,omitempty"`
	Failed        float64       `json:"failed,omitempty"`    // publishes
	Received      float64       `json:"received,omitempty"`  // messages from the broker
	Delivered     float64       `json:"delivered,omitempty"` // messages to sessions
	Bytes         float64       `json:"bytes,omitempty"`     // to sessions
	Lag           time.Duration `json:"lag,omitempty"`       // within which 99 of 100 messages were written to sessions; 0: there were none
	RoundTrip     time.Duration `json:"round_trip,omitempty"`
}

// ChannelLoad is how busy a channel is.
type ChannelLoad struct {
	Channel  string  `json:"channel"`
	Rate     float64 `json:"rate"` // messages by the second
	Sessions int     `json:"sessions"`
}

// SlowSession is one whose peer does not keep up.
type SlowSession struct {
	Session   string `json:"session"`
	Node      string `json:"node"`
	User      string `json:"user,omitempty"`
	Transport string `json:"transport"`
	Waiting   int    `json:"waiting"` // bytes
}

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

// add adds what a node says. All nodes hear all messages of a channel.
func (l *Load) add(of Load) {
	l.Nodes = append(l.Nodes, of.Nodes...)
	l.Slow = append(l.Slow, of.Slow...)
	for _, c := range of.Channels {
		at := slices.IndexFunc(l.Channels, func(known ChannelLoad) bool { return known.Channel == c.Channel })
		if at < 0 {
			l.Channels = append(l.Channels, c)
			continue
		}
		l.Channels[at].Sessions += c.Sessions
		l.Channels[at].Rate = max(l.Channels[at].Rate, c.Rate)
	}
}

// cut leaves what is busiest.
func (l *Load) cut(most int) {
	slices.SortFunc(l.Channels, func(a, b ChannelLoad) int {
		return cmp.Or(cmp.Compare(b.Rate, a.Rate), strings.Compare(a.Channel, b.Channel))
	})
	slices.SortFunc(l.Slow, func(a, b SlowSession) int {
		return cmp.Or(cmp.Compare(b.Waiting, a.Waiting), strings.Compare(a.Session, b.Session))
	})
	l.Channels, l.Slow = firstOf(l.Channels, most), firstOf(l.Slow, most)
}

func firstOf[T any](list []T, most int) []T { return list[:min(max(most, 0), len(list))] }

// measurement is what a node had counted when it was asked how busy it is, for the next
// time. Nodes that are not asked keep none.
type measurement struct {
	at       time.Time
	totals   metrics.Totals
	channels map[string]uint64 // messages of each that had any
	said     Load              // the answer
}

const (
	leastSpan       = 500 * time.Millisecond // who asks again before is told the same
	measurementLife = time.Minute
)

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
	slow, _ := g.slowSessions()
	for _, s := range slow {
		now.said.Slow = append(now.said.Slow, SlowSession{s.session.id, g.node, s.session.who().User, s.session.transport, s.bytes})
	}
	now.said.Nodes = []NodeLoad{g.nodeLoad(last, now, len(slow))}
	now.said.cut(most)
	g.measured.Store(now)
	time.AfterFunc(measurementLife, func() { g.measured.CompareAndSwap(now, nil) })
	return now.said
}

// rateOf returns the messages of a channel by the second; 0 since a nil m. One that nobody
// listened to meanwhile has begun anew.
func (m *measurement) rateOf(now *measurement, channel string) float64 {
	if m == nil {
		return 0
	}
	count := now.channels[channel]
	if before := m.channels[channel]; before <= count {
		count -= before
	}
	return float64(count) / now.at.Sub(m.at).Seconds()
}

func (g *Gateway) nodeLoad(last, now *measurement, slow int) NodeLoad {
	n := NodeLoad{
		NodeInfo: g.about(), Channels: g.hub.Channels(), Subscriptions: g.hub.Subscriptions(),
		Waiting: g.outboxBytes(), Slow: slow,
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
