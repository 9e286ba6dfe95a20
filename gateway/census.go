package gateway

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"tidegate/gateway/internal/cluster"
	"tidegate/gateway/internal/hub"
	"tidegate/gateway/rules"
)

// ChannelInfo gives the numbers of a channel's subscribers in the whole cluster.
type ChannelInfo struct {
	Channel  string `json:"channel"`
	Sessions int    `json:"sessions"`
	Users    int    `json:"users"`    // distinct users; anonymous sessions do not count
	Messages int    `json:"messages"` // counted by the node with subscribers for the longest time; restarts at 0 when nobody subscribes
}

// headcount is one node's contribution to a channel's numbers, or a part of it.
type headcount struct {
	Channel  string   `json:"channel"`
	Sessions int      `json:"sessions,omitempty"`
	Users    []string `json:"users,omitempty"` // may contain duplicates
	Messages int      `json:"messages,omitempty"`
}

// Channels returns the channels that match the pattern and have subscribers on some node,
// sorted by name. It returns an error unless every live node has answered.
func (n *Nodes) Channels(ctx context.Context, pattern string) ([]ChannelInfo, error) {
	sum := make(census)
	err := askAll(ctx, n, countChannels, errand{Match: pattern}, sum.add)
	if err != nil {
		return nil, err
	}
	return sum.channels(), nil
}

// census sums up headcounts by channel.
type census map[string]*headcount

func (c census) add(parts []headcount) {
	for _, part := range parts {
		sum := c[part.Channel]
		if sum == nil {
			c[part.Channel] = &part
			continue
		}
		sum.Sessions += part.Sessions
		sum.Users = append(sum.Users, part.Users...)
		sum.Messages = max(sum.Messages, part.Messages)
	}
}

func (c census) channels() []ChannelInfo {
	list := make([]ChannelInfo, 0, len(c))
	for name, sum := range c {
		slices.Sort(sum.Users)
		list = append(list, ChannelInfo{name, sum.Sessions, len(slices.Compact(sum.Users)), sum.Messages})
	}
	slices.SortFunc(list, func(a, b ChannelInfo) int { return strings.Compare(a.Channel, b.Channel) })
	return list
}

// tally splits a node's report of its channels into parts.
type tally struct {
	say  sayer
	part []headcount
	size int // approximate size of part, in bytes
}

// countAll reports the channels of this node that match a pattern.
func (t *tally) countAll(h *hub.Hub, pattern string) (err error) {
	h.Each(func(ch *hub.Channel) {
		if err == nil && rules.Matches(pattern, ch.Name()) {
			err = t.count(ch)
		}
	})
	return cmp.Or(err, t.say(t.part))
}

func (t *tally) count(ch *hub.Channel) error {
	audience, messages := ch.Audience()
	if len(audience) == 0 {
		return nil
	}
	users := make(map[string]struct{})
	for _, sub := range audience {
		if user := sub.Who().User; user != "" {
			users[user] = struct{}{}
		}
	}
	t.begin(headcount{Channel: ch.Name(), Sessions: len(audience), Messages: int(messages)})
	for user := range users {
		if err := t.addUser(ch.Name(), user); err != nil {
			return err
		}
	}
	return t.flushLarge()
}

const headcountBytes = 40 // without the names

func (t *tally) begin(h headcount) {
	t.part = append(t.part, h)
	t.size += len(h.Channel) + headcountBytes
}

func (t *tally) addUser(channel, user string) error {
	if t.size >= cluster.PartBytes {
		if err := t.flushLarge(); err != nil {
			return err
		}
		t.begin(headcount{Channel: channel})
	}
	h := &t.part[len(t.part)-1]
	h.Users = append(h.Users, user)
	t.size += len(user) + 3
	return nil
}

// flushLarge sends the current part if it is large enough.
func (t *tally) flushLarge() error {
	if t.size < cluster.PartBytes {
		return nil
	}
	part := t.part
	t.part, t.size = nil, 0
	return t.say(part)
}
