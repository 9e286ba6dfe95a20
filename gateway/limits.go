package gateway

import (
	"fmt"

	"tidegate/gateway/internal/cluster"
	"tidegate/gateway/internal/denials"
	"tidegate/gateway/internal/rates"
	"tidegate/gateway/internal/timeline"

	"golang.org/x/time/rate"
)

// Limits bound what clients may use. A limit of 0 means none.
type Limits struct {
	MessageBytes       int // of a payload
	OutboxBytes        int // that wait for one session
	OutboxTotalBytes   int // that wait for all peers which do not keep up; beyond it the slowest are closed
	InboundBytes       int // that are held for clients: bodies, answers, unfinished messages, publishes on their way
	ChannelsPerSession int
	Subscriptions      int // on this node
	Sessions           int // on this node
	SessionsPerUser    int // on this node
	SessionsPerIP      int // on this node, of one IPv4 address or one IPv6 /64
	ConnectsPerSecond  int // on this node
	KeysPerSecond      int // publishes of this node's clients that have an idempotency key
	PresencePerSecond  int // joins and leaves that are told one by one, of one channel

	NewChannelsPerSecond int // with a history, to which this node's clients publish and have not lately

	// Rates have a burst of one second. They hold for each user, over all that the
	// user has on this node; for each session without a user; and for the requests
	// without a user of one address. Backends are not bound by them.
	CommandsPerSecond int
	BytesPerSecond    int // of payloads, with keys and events; of calls, with methods

	// The same of all clients of one IPv4 address or one IPv6 /64 together.
	CommandsPerSecondPerIP int
	BytesPerSecondPerIP    int
	InboundBytesPerIP      int // held at a time
}

// AddressShare is how many clients at their full rates have room at one address by
// default.
const AddressShare = 50

// InboundShare is the part of what a node holds for clients that is for one address by
// default: one in so many.
const InboundShare = 4

// DefaultLimits are the limits of a gateway that is not told otherwise.
func DefaultLimits() Limits {
	return Limits{
		MessageBytes:       64 << 10,
		OutboxBytes:        1 << 20,
		OutboxTotalBytes:   256 << 20,
		InboundBytes:       64 << 20,
		ChannelsPerSession: 128,
		CommandsPerSecond:  100,
		KeysPerSecond:      5000,
		PresencePerSecond:  50,
		BytesPerSecond:     4 << 20,

		NewChannelsPerSecond: 5000,

		CommandsPerSecondPerIP: AddressShare * 100,
		BytesPerSecondPerIP:    AddressShare * 4 << 20,
		InboundBytesPerIP:      64 << 20 / InboundShare,
	}
}

// HistoryBytes is about how much of the channels' recent history a node holds at
// most.
const HistoryBytes = timeline.MostBytes

// RatesLet is how many rates of clients a node remembers that have left, of RateBytes each.
const (
	RatesLet  = rates.MostLet
	RateBytes = rates.BucketBytes
)

// DenialBytes is about what each ban and each revocation takes on a node.
const DenialBytes = denials.Bytes

// BetweenNodes is about how much a node holds at most of what nodes say to each other.
const BetweenNodes = cluster.Bytes

// Validate returns what is wrong with the limits.
func (l Limits) Validate() error {
	for name, value := range map[string]int{
		"message_bytes": l.MessageBytes, "outbox_bytes": l.OutboxBytes,
		"channels_per_session": l.ChannelsPerSession, "commands_per_second": l.CommandsPerSecond,
		"outbox_total_bytes": l.OutboxTotalBytes, "inbound_bytes": l.InboundBytes, "subscriptions": l.Subscriptions,
		"sessions": l.Sessions, "sessions_per_user": l.SessionsPerUser, "sessions_per_ip": l.SessionsPerIP,
		"connects_per_second": l.ConnectsPerSecond, "keys_per_second": l.KeysPerSecond, "new_channels_per_second": l.NewChannelsPerSecond, "presence_per_second": l.PresencePerSecond, "bytes_per_second": l.BytesPerSecond,
		"commands_per_second_per_ip": l.CommandsPerSecondPerIP, "bytes_per_second_per_ip": l.BytesPerSecondPerIP,
		"inbound_bytes_per_ip": l.InboundBytesPerIP,
	} {
		if value < 0 {
			return fmt.Errorf("limits.%s is %d: want 0 for no limit, or more", name, value)
		}
	}
	return nil
}

// perSecond lets so many of something pass a second; nil lets all pass.
func perSecond(most int) *rate.Limiter {
	if most <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(most), most)
}

// What clients have read from the broker, histories and lists of members, takes turns
// there. So that no client holds up the others, only a few of its reads are under way at
// a time, over all its sessions and requests; the next ones wait.
const (
	readsOfOne     = 2 // of a user, or of a client without a name
	readsOfAddress = 4 // of all clients at one address, fewer than the broker has under way
)

const (
	maxKey   = 255
	maxEvent = 255
	maxTags  = 1024
)
