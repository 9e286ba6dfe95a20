package gateway

import (
	"cmp"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"tidegate/gateway/internal/rates"
)

// Budget is what clients may use of a node, according to its Limits: how fast they may send
// commands, and how many bytes the node holds for them at a time: bodies of requests, headers for
// a later question to the backend, answers, unfinished messages, and publishes and subscribes
// that are not answered yet. All methods are safe for concurrent use.
type Budget struct {
	// Immutable.
	limits    *Limits
	log       *slog.Logger
	rates     *rates.Table
	connects  *rates.Bucket // sessions that open
	keys      *rates.Bucket // publishes with an idempotency key, which is remembered for a while
	newcomers *rates.Bucket // publishes of clients to new channels
	backends  *rates.Bucket // pays for all backends
	closed    *rates.Bucket // stands in for a bucket that was released

	held    atomic.Int64
	refused rate.Sometimes // logs a refusal
}

func newBudget(l *Limits, log *slog.Logger) *Budget {
	return &Budget{
		limits: l, log: log, rates: rates.NewTable(l.ofPrincipal(), l.ofAddress()),
		connects: rates.New(rates.Limit{Commands: l.ConnectsPerSecond}), keys: rates.New(rates.Limit{Commands: l.KeysPerSecond}),
		newcomers: rates.New(rates.Limit{NewChannels: l.NewChannelsPerSecond}),
		backends:  rates.New(rates.Limit{}), closed: rates.New(rates.Limit{}),
		refused: rate.Sometimes{Interval: time.Minute},
	}
}

const backendsShare = 8 // 1/backendsShare of the room is reserved for backends

// InboundForClients returns how many bytes may be held for clients other than backends. 0
// means no limit.
func (l *Limits) InboundForClients() int { return l.InboundBytes - l.InboundBytes/backendsShare }

// Payer returns the bucket that pays for bytes held for p at the given address; see Hold.
func (b *Budget) Payer(p *Principal, remote string) *rates.Bucket {
	if p.Backend() {
		return b.backends
	}
	address := b.rates.Address(NetworkOf(remote))
	b.rates.Release(address) // the table keeps a bucket that has bytes held
	return address
}

// Hold reserves room for bytes on behalf of payer until LetGo is called with the same payer:
// the bucket of all clients at one address, or of all backends; nil stands for a client whose
// address is unknown. Part of the node's room is reserved for backends. If there is no room,
// Hold returns an *Error.
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

// LetGo releases what Hold reserved.
func (b *Budget) LetGo(payer *rates.Bucket, bytes int) {
	payer.LetGo(bytes)
	b.held.Add(-int64(bytes))
}

// refuse returns err, and logs it at most once a minute.
func (b *Budget) refuse(err *Error) error {
	b.refused.Do(func() {
		b.log.Warn("there is no room for what a client has sent or asked for", "error", err.Message, "held", b.held.Load())
	})
	return err
}

// Spend charges the cost of a request without a session to p and the given address. An error
// has the code RateLimited. Each publish costs one command and its bytes.
func (b *Budget) Spend(p *Principal, remote string, cost rates.Cost) error {
	if p.Backend() {
		return nil
	}
	own, address := b.bucketsOf(p, remote)
	defer b.rates.Release(own)
	defer b.rates.Release(address)
	return b.spend(own, address, cost)
}

// bucketsOf returns the buckets of a client without a session. The caller must release them.
func (b *Budget) bucketsOf(p *Principal, remote string) (own, address *rates.Bucket) {
	network := NetworkOf(remote)
	if p.User != "" {
		return b.rates.User(p.User), b.rates.Address(network)
	}
	return b.rates.Nameless(network), b.rates.Address(network)
}

// connect charges the cost of opening a session.
func (b *Budget) connect() error {
	if b.connects.Take(rates.Cost{Commands: 1}) != rates.Enough {
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
	if cost.Key && b.keys.Take(rates.Cost{Commands: 1}) != rates.Enough {
		return failf(RateLimited, "more than %d publishes with a key a second on this node (limits.keys_per_second): send it again later", l.KeysPerSecond)
	}
	return nil
}

// spendChannel charges the cost of publishing to a channel with a history.
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

// ofPrincipal returns the limits of one user, or of one client without a user. Channels with
// a history that had no publish lately cost extra: each may be one more for Redis to store.
func (l *Limits) ofPrincipal() rates.Limit {
	limit := rates.Limit{Commands: l.CommandsPerSecond, Bytes: l.BytesPerSecond, LargestByte: l.largestPublish(), Reads: readsOfOne}
	if l.CommandsPerSecond > 0 {
		limit.NewChannels, limit.Channels = max(1, l.CommandsPerSecond/newChannelShare), cmp.Or(l.ChannelsPerSession, l.CommandsPerSecond)
	}
	return limit
}

// ofAddress returns the limits of all clients at one address together. Without a limit on
// their rates, reads are not limited either, since many clients may share the address.
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

// One in so many commands may be for a new channel.
const (
	newChannelShare          = 10
	newChannelShareOfAddress = 1000 // a client may return under a new name each time, and Redis remembers each channel for a day
)

// largestPublish returns the cost of the largest message, in bytes.
func (l *Limits) largestPublish() int {
	return l.MessageBytes + maxKey + maxEvent + maxSessionID + maxTags
}
