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

// countHere reports the channels of this node that match a pattern.
func countHere(h *hub.Hub, pattern string, say sayer) (err error) {
	p := parts[headcount]{say: say}
	h.Each(func(ch *hub.Channel) {
		if err == nil && rules.Matches(pattern, ch.Name()) {
			err = addChannel(&p, ch)
		}
	})
	return cmp.Or(err, p.end())
}

const headcountBytes = 40 // without the names

func addChannel(p *parts[headcount], ch *hub.Channel) error {
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
	empty := len(ch.Name()) + headcountBytes
	part, size := headcount{Channel: ch.Name(), Sessions: len(audience), Messages: int(messages)}, empty
	for user := range users {
		if size >= cluster.PartBytes {
			if err := p.add(part, size); err != nil {
				return err
			}
			part, size = headcount{Channel: ch.Name()}, empty
		}
		part.Users, size = append(part.Users, user), size+len(user)+3
	}
	return p.add(part, size)
}

// parts sends a node's long answer in parts of about cluster.PartBytes.
type parts[T any] struct {
	say  sayer
	list []T
	size int // approximate size of list as JSON, in bytes
}

// add adds an item of about size bytes.
func (p *parts[T]) add(item T, size int) (err error) {
	if p.size > 0 && p.size+size > cluster.PartBytes {
		err = p.end()
	}
	p.list, p.size = append(p.list, item), p.size+size
	return err
}

// end sends what is left.
func (p *parts[T]) end() error {
	list := p.list
	p.list, p.size = nil, 0
	return p.say(list)
}
