package gateway

import (
	"cmp"
	"log/slog"
	"sync/atomic"
	"time"

	"tidegate/gateway/internal/rates"

	"golang.org/x/time/rate"
)

// Budget is what clients may use of a node, as its Limits say: how fast they may ask, and
// how many bytes the node holds of what they have sent and asked for just now: bodies of
// requests and answers to them, unfinished messages, publishes that the broker has not
// answered. All methods may be called concurrently.
type Budget struct {
	// Fixed at birth.
	limits    *Limits
	log       *slog.Logger
	rates     *rates.Table
	connects  *rate.Limiter
	keys      *rate.Limiter // of clients' publishes: each is remembered for a while
	newcomers *rates.Bucket // of clients' publishes to new channels
	backends  *rates.Bucket // pays for all backends
	closed    *rates.Bucket // in the place of one that has been given back

	held   atomic.Int64
	logged atomic.Int64 // when a refusal was, in Unix nanoseconds
}

func newBudget(l *Limits, log *slog.Logger) *Budget {
	return &Budget{
		limits: l, log: log, rates: rates.NewTable(l.ofPrincipal(), l.ofAddress()),
		connects: perSecond(l.ConnectsPerSecond), keys: perSecond(l.KeysPerSecond),
		newcomers: rates.New(rates.Limit{NewChannels: l.NewChannelsPerSecond}),
		backends:  rates.New(rates.Limit{}), closed: rates.New(rates.Limit{}),
	}
}

const (
	backendsShare   = 8 // of the room, one part in so many is for backends alone
	inboundLogPause = int64(time.Minute)
)

// InboundForClients returns what may be held for clients, not for backends; 0: no limit.
func (l *Limits) InboundForClients() int { return l.InboundBytes - l.InboundBytes/backendsShare }

// Payer returns who pays for what is held for p, coming from an address, see Hold.
func (b *Budget) Payer(p *Principal, remote string) *rates.Bucket {
	if p.Backend() {
		return b.backends
	}
	address := b.rates.Address(NetworkOf(remote))
	b.rates.Release(address) // the table keeps one that pays
	return address
}

// Hold makes room for so many bytes that are held for the payer until LetGo with the same
// payer: all clients at one address, or all backends; nil is a client whose address is not
// known. Clients leave a part of the node's room to backends. Without room the error is an
// *Error.
func (b *Budget) Hold(payer *rates.Bucket, bytes int) error {
	if !payer.Hold(bytes) {
		return b.refuse(failf(RateLimited, "as much is held for your address as limits.inbound_bytes_per_ip allows: try again later"))
	}
	most := b.limits.InboundBytes
	if payer != b.backends {
		most = b.limits.InboundForClients()
	}
	if held := b.held.Add(int64(bytes)); most > 0 && held > int64(most) {
		b.LetGo(payer, bytes)
		return b.refuse(failf(Unavailable, "the node holds as much for its clients as limits.inbound_bytes allows: try again"))
	}
	return nil
}

// LetGo gives back what Hold took.
func (b *Budget) LetGo(payer *rates.Bucket, bytes int) {
	payer.LetGo(bytes)
	b.held.Add(-int64(bytes))
}

// refuse returns err, and logs it now and then.
func (b *Budget) refuse(err *Error) error {
	now, last := time.Now().UnixNano(), b.logged.Load()
	if now-last > inboundLogPause && b.logged.CompareAndSwap(last, now) {
		b.log.Warn("there is no room for what a client has sent or asked for", "error", err.Message, "held", b.held.Load())
	}
	return err
}

// Spend takes what a request without a session costs, on behalf of p, from the given
// address; an error is a RateLimited. Each publish costs one command and its bytes.
func (b *Budget) Spend(p *Principal, remote string, cost rates.Cost) error {
	if p.Backend() {
		return nil
	}
	own, address := b.bucketsOf(p, remote)
	defer b.rates.Release(own)
	defer b.rates.Release(address)
	return b.spend(own, address, cost)
}

// bucketsOf returns those of a client without a session, to be released.
func (b *Budget) bucketsOf(p *Principal, remote string) (own, address *rates.Bucket) {
	network := NetworkOf(remote)
	if p.User != "" {
		return b.rates.User(p.User), b.rates.Address(network)
	}
	return b.rates.Nameless(network), b.rates.Address(network)
}

// connect takes what it costs to open a session.
func (b *Budget) connect() error {
	if b.connects != nil && !b.connects.Allow() {
		return failf(RateLimited, "more than %d connects a second: try again shortly", b.limits.ConnectsPerSecond)
	}
	return nil
}

func (b *Budget) spend(own, address *rates.Bucket, cost rates.Cost) error {
	l := b.limits
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
		if err := b.spendChannel(own, address, cost.Channel); err != nil {
			return err
		}
	}
	if cost.Key && b.keys != nil && !b.keys.Allow() {
		return failf(RateLimited, "more than %d publishes with a key a second on this node (limits.keys_per_second): send it again later", l.KeysPerSecond)
	}
	return nil
}

// spendChannel takes what it costs to publish to a channel that keeps a history.
func (b *Budget) spendChannel(own, address *rates.Bucket, channel string) error {
	switch lacking := b.rates.TakeChannel(channel, own, address, b.newcomers); lacking {
	case nil:
		return nil
	case own:
		return failf(RateLimited, "publishes to too many new channels: at most %d a second", own.NewChannels())
	case address:
		return failf(RateLimited, "publishes to too many new channels from your address: at most %d a second", address.NewChannels())
	}
	return failf(RateLimited, "more than %d new channels a second on this node (limits.new_channels_per_second): send it again later", b.limits.NewChannelsPerSecond)
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
	newChannelShareOfAddress = 1000 // a client may come back under a new name each time, and Redis remembers each channel for a day
)

// largestPublish is what the largest message costs.
func (l *Limits) largestPublish() int { return l.MessageBytes + maxKey + maxEvent + maxTags }
