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

// ChannelInfo says how many listen to a channel in the whole cluster.
type ChannelInfo struct {
	Channel  string
	Sessions int
	Users    int // different ones; anonymous sessions have none
	Messages int // as counted by the node that has listened for longest; it begins again at 0 when nobody listens
}

// headcount is what a node, or a part of its report, adds to a channel's numbers.
type headcount struct {
	Channel  string   `json:"channel"`
	Sessions int      `json:"sessions,omitempty"`
	Users    []string `json:"users,omitempty"` // a user may be told more than once
	Messages int      `json:"messages,omitempty"`
}

// Channels returns the channels, of those that match the pattern, to which
// somebody listens on some node, by name. Without an error it has heard from every
// node that is alive.
func (n *Nodes) Channels(ctx context.Context, pattern string) ([]ChannelInfo, error) {
	sum := make(census)
	err := askAll(ctx, n, countChannels, errand{Match: pattern}, sum.add)
	if err != nil {
		return nil, err
	}
	return sum.channels(), nil
}

// census adds up headcounts, by channel.
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

// tally makes parts of a report of channels.
type tally struct {
	say  sayer
	part []headcount
	size int // about how many bytes part has
}

// countAll tells of the channels of this node that match a pattern.
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

const headcountBytes = 40 // beside the names

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

// flushLarge tells what there is if it is enough for a part.
func (t *tally) flushLarge() error {
	if t.size < cluster.PartBytes {
		return nil
	}
	part := t.part
	t.part, t.size = nil, 0
	return t.say(part)
}
