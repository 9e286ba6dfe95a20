package gateway

import (
	"cmp"
	"context"
	"time"

	"tidegate/gateway/internal/pause"
	"tidegate/gateway/internal/rates"
)

// newRates returns the buckets that the limits ask for.
func newRates(l *Limits) *rates.Table {
	return rates.NewTable(l.ofPrincipal(), l.ofAddress())
}

// ofPrincipal returns what one user may do, or one client without a name. Channels with a
// history to which nobody has published lately are dearer than others: each may be one
// more that Redis keeps.
func (l *Limits) ofPrincipal() rates.Limit {
	limit := rates.Limit{Commands: l.CommandsPerSecond, Bytes: l.BytesPerSecond, LargestByte: l.largestPublish(), Reads: readsOfOne}
	if l.CommandsPerSecond > 0 {
		limit.NewChannels, limit.Channels = max(1, l.CommandsPerSecond/newChannelShare), cmp.Or(l.ChannelsPerSession, l.CommandsPerSecond)
	}
	return limit
}

// ofAddress returns what all clients at one address may do together. Where their rates
// have no limit, nobody knows how many have one address.
func (l *Limits) ofAddress() rates.Limit {
	limit := rates.Limit{Commands: l.CommandsPerSecondPerIP, Bytes: l.BytesPerSecondPerIP, LargestByte: l.largestPublish(), Held: l.InboundBytesPerIP}
	if l.CommandsPerSecondPerIP > 0 || l.BytesPerSecondPerIP > 0 {
		limit.Reads = readsOfAddress
	}
	if l.CommandsPerSecondPerIP > 0 {
		limit.NewChannels, limit.Channels = max(1, l.CommandsPerSecondPerIP/newChannelShareOfAddress), l.CommandsPerSecondPerIP/newChannelShare
	}
	return limit
}

// One command of so many may be for a new channel.
const (
	newChannelShare          = 10
	newChannelShareOfAddress = 100 // a client may come again under ever new names
)

// largestPublish is what the largest message costs.
func (l *Limits) largestPublish() int { return l.MessageBytes + maxKey + maxEvent + maxTags }

// Spend takes what a request without a session costs, on behalf of p, from the given
// address; an error is a RateLimited. Each publish costs one command and its bytes.
func (g *Gateway) Spend(p *Principal, remote string, cost rates.Cost) error {
	if p.Backend() {
		return nil
	}
	own, address := g.bucketsOf(p, remote)
	defer g.rates.Release(own)
	defer g.rates.Release(address)
	return g.spend(own, address, cost)
}

// bucketsOf returns those of a client without a session, to be released.
func (g *Gateway) bucketsOf(p *Principal, remote string) (own, address *rates.Bucket) {
	network := NetworkOf(remote)
	if p.User != "" {
		return g.rates.User(p.User), g.rates.Address(network)
	}
	return g.rates.Nameless(network), g.rates.Address(network)
}

func (g *Gateway) spend(own, address *rates.Bucket, cost rates.Cost) error {
	l := &g.limits
	switch own.Take(cost) {
	case rates.TooManyCommands:
		return failf(RateLimited, "more than %d commands a second (limits.commands_per_second): slow down and send it again", l.CommandsPerSecond)
	case rates.TooManyBytes:
		return failf(RateLimited, "more than %d bytes a second (limits.bytes_per_second): slow down and send it again", l.BytesPerSecond)
	}
	switch address.Take(cost) {
	case rates.TooManyCommands:
		return failf(RateLimited, "more than %d commands a second from your address (limits.commands_per_second_per_ip): send it again later", l.CommandsPerSecondPerIP)
	case rates.TooManyBytes:
		return failf(RateLimited, "more than %d bytes a second from your address (limits.bytes_per_second_per_ip): send it again later", l.BytesPerSecondPerIP)
	}
	if cost.Channel != "" {
		if err := g.spendChannel(own, address, cost.Channel); err != nil {
			return err
		}
	}
	if cost.Key && g.keys != nil && !g.keys.Allow() {
		return failf(RateLimited, "more than %d publishes with a key a second on this node (limits.keys_per_second): send it again later", l.KeysPerSecond)
	}
	return nil
}

// spendChannel takes what it costs to publish to a channel that keeps a history.
func (g *Gateway) spendChannel(own, address *rates.Bucket, channel string) error {
	switch lacking := g.rates.TakeChannel(channel, own, address, g.newcomers); lacking {
	case nil:
		return nil
	case own:
		return failf(RateLimited, "publishes to too many new channels: at most %d a second", own.NewChannels())
	case address:
		return failf(RateLimited, "publishes to too many new channels from your address: at most %d a second", address.NewChannels())
	}
	return failf(RateLimited, "more than %d new channels a second on this node (limits.new_channels_per_second): send it again later", g.limits.NewChannelsPerSecond)
}

// PublishCost returns what a publish costs.
func (g *Gateway) PublishCost(c *Publish) rates.Cost {
	cost := rates.Cost{Commands: 1, Bytes: len(c.Payload) + len(c.Key) + len(c.Event) + len(c.Tags), Key: c.Key != ""}
	if g.publishOptions(c).HistorySize > 0 {
		cost.Channel = c.Channel
	}
	return cost
}

// costOf returns what a command costs.
func (s *Session) costOf(command Command) rates.Cost {
	switch c := command.(type) {
	case Publish:
		c.Channel = s.channelOf(c.Channel)
		return s.gateway.PublishCost(&c)
	case Call:
		return rates.Cost{Commands: 1, Bytes: len(c.Method) + len(c.Payload)}
	}
	return rates.Cost{Commands: 1}
}

// spend takes what a command costs.
func (s *Session) spend(command Command) error {
	own, backend := s.bucket()
	if backend {
		return nil
	}
	return s.gateway.spend(own, s.address, s.costOf(command))
}

// spendOpening takes what it costs to open a session that asks for something while
// it opens, as a long-poll does each time.
func (s *Session) spendOpening(hello *Hello) error {
	if len(hello.Commands) == 0 || hello.Principal.Backend() {
		return nil
	}
	return s.gateway.spend(nil, s.address, rates.Cost{Commands: 1})
}

// spendWatched takes what it costs to watch the users that p is to watch, up to what
// a client has in half a second.
func (s *Session) spendWatched(p *Principal) error {
	commands := (len(p.Watched) + watchedShare - 1) / watchedShare
	if most := s.gateway.limits.CommandsPerSecond; most > 0 {
		commands = min(commands, most/2)
	}
	if commands == 0 {
		return nil
	}
	own, _ := s.bucket()
	return s.gateway.spend(own, s.address, rates.Cost{Commands: commands})
}

const watchedShare = 10 // users who are watched for one command

// bucket returns the bucket of the session's user, or its own; a backend has none.
func (s *Session) bucket() (own *rates.Bucket, backend bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.principal.Backend() {
		return nil, true
	}
	if s.own == nil {
		s.own = s.gateway.rates.Own()
	}
	return s.own, false
}

// spendAs has the session spend from its user's bucket from now on.
func (s *Session) spendAs(user string) {
	if user == "" {
		return
	}
	bucket := s.gateway.rates.User(user)
	s.mu.Lock()
	before := s.own
	s.own = bucket
	if s.left {
		before, s.own = bucket, nil
	}
	s.mu.Unlock()
	s.gateway.rates.Release(before)
}

const (
	floodGap      = 2 * time.Second  // without a refusal: the flood is over
	floodPatience = 10 * time.Second // then the session ends
	refusals      = 100              // a second that may be told where the commands of one client have no limit
)

// hold is called when a command has been refused since it came too fast. It waits
// while the client is to be read no further.
func (s *Session) hold(ctx context.Context) {
	if s.flood == nil {
		s.flood = &flood{answers: rates.New(rates.Limit{Commands: cmp.Or(s.gateway.limits.CommandsPerSecond, refusals)})}
	}
	now, f := time.Now(), s.flood
	if now.Sub(f.last) > floodGap {
		f.since = now
	}
	f.last = now
	if now.Sub(f.since) > floodPatience {
		s.Close(Policy.With("commands came faster than allowed for " + floodPatience.String() + ": slow down"))
		return
	}
	if wait := f.answers.Owe(); wait > 0 {
		s.Rest()
		pause.For(ctx, wait)
	}
}
