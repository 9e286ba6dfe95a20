package gateway

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"tidegate/metrics"
)

// Load says how busy the nodes are at the moment.
type Load struct {
	Nodes    []NodeLoad    `json:"nodes"`    // sorted by name
	Channels []ChannelLoad `json:"channels"` // those with messages, busiest first
	Slow     []SlowSession `json:"slow"`     // sessions that do not keep up, those with the most waiting first
}

// NodeLoad says how busy a node is.
type NodeLoad struct {
	NodeInfo
	Silent        bool       `json:"silent"`   // the node has not answered: only what it last announced is known
	Unready       string     `json:"unready"`  // why it is not ready; empty: it is ready
	Channels      int        `json:"channels"` // with subscribers on the node
	Subscriptions int        `json:"subscriptions"`
	Waiting       int        `json:"waiting"`         // bytes to be written to sessions
	Slow          int        `json:"slow"`            // sessions that do not keep up at the moment
	Rates         *LoadRates `json:"rates,omitempty"` // nil: the node was not asked within the last minute
}

// LoadRates are per second, since a node was last asked.
type LoadRates struct {
	Over      float64 `json:"over"`   // seconds that they cover
	Opened    float64 `json:"opened"` // sessions
	Published float64 `json:"published"`
	Failed    float64 `json:"failed"`    // publishes
	Received  float64 `json:"received"`  // messages from the broker
	Delivered float64 `json:"delivered"` // messages to sessions
	Bytes     float64 `json:"bytes"`     // to sessions

	// In milliseconds. 0: there were none.
	Lag       float64 `json:"lag"` // 99% of messages were written to sessions within this time
	RoundTrip float64 `json:"round_trip"`
}

// ChannelLoad says how busy a channel is.
type ChannelLoad struct {
	Channel  string  `json:"channel"`
	Rate     float64 `json:"rate"` // messages per second
	Sessions int     `json:"sessions"`
}

// SlowSession is a session whose peer does not keep up.
type SlowSession struct {
	Session   string `json:"session"`
	Node      string `json:"node"`
	User      string `json:"user,omitempty"`
	Transport string `json:"transport"`
	Waiting   int    `json:"waiting"` // bytes
}

// add adds a node's answer. Each node counts all messages of a channel, so rates are not
// summed.
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

// cut keeps the busiest channels and the slowest sessions, at most so many of each.
func (l *Load) cut(most int) {
	slices.SortFunc(l.Channels, func(a, b ChannelLoad) int {
		return cmp.Or(cmp.Compare(b.Rate, a.Rate), strings.Compare(a.Channel, b.Channel))
	})
	slices.SortFunc(l.Slow, func(a, b SlowSession) int {
		return cmp.Or(cmp.Compare(b.Waiting, a.Waiting), strings.Compare(a.Session, b.Session))
	})
	*l = l.first(most)
}

// first returns a Load with the first channels and slow sessions, at most so many of each.
func (l Load) first(most int) Load {
	l.Channels, l.Slow = firstOf(l.Channels, most), firstOf(l.Slow, most)
	return l
}

// MostLoads is the most channels, and the most slow sessions, in one Load.
const MostLoads = 50

func firstOf[T any](list []T, most int) []T { return list[:min(max(most, 0), len(list))] }

// measurement is what a node had counted when it was last asked for its load; the next
// answer is based on it. Nodes that are not asked keep none.
type measurement struct {
	at       time.Time
	totals   metrics.Totals
	channels map[string]uint64 // number of messages, of each channel that had any
	said     Load              // the answer for those who ask for MostLoads
}

const (
	leastSpan       = 500 * time.Millisecond // a question that follows sooner gets the same answer
	measurementLife = time.Minute
)

// rateOf returns a channel's messages per second since m; 0 if m is nil. If the channel had
// no subscribers meanwhile, its counter has restarted.
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
