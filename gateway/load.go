package gateway

import (
	"cmp"
	"slices"
	"strings"
	"time"

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
	leastSpan       = 500 * time.Millisecond // a question that comes sooner has the same answer
	measurementLife = time.Minute
)

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
