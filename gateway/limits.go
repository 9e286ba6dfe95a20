package gateway

import (
	"fmt"

	"tidegate/gateway/internal/cluster"
	"tidegate/gateway/internal/denials"
	"tidegate/gateway/internal/rates"
	"tidegate/gateway/internal/timeline"
)

// Limits bound what clients may use. 0 means no limit.
type Limits struct {
	MessageBytes       int // of a payload
	OutboxBytes        int // queued for one session, without the latest messages of channels with Rule.Conflate
	OutboxTotalBytes   int // queued for all peers that do not keep up; beyond it the slowest are closed
	InboundBytes       int // held for clients: bodies, answers, unfinished messages, publishes and subscribes in progress
	ChannelsPerSession int
	Subscriptions      int // on this node
	Sessions           int // on this node
	SessionsPerUser    int // on this node
	SessionsPerIP      int // on this node, from one IPv4 address or one IPv6 /64
	ConnectsPerSecond  int // on this node
	KeysPerSecond      int // publishes with an idempotency key by clients of this node
	PresencePerSecond  int // joins and leaves of one channel that are announced one by one

	NewChannelsPerSecond int // channels with a history to which clients of this node publish and have not done so lately

	// Rates allow bursts of one second. They apply to each user, over all his sessions and
	// requests on this node; to each session without a user; and, for each address, to all
	// requests without a user. They do not apply to backends.
	CommandsPerSecond int
	BytesPerSecond    int // payloads, keys and event names of publishes; payloads and methods of calls

	// The same for all clients of one IPv4 address or one IPv6 /64 together.
	CommandsPerSecondPerIP int
	BytesPerSecondPerIP    int
	InboundBytesPerIP      int // held at a time
}

// AddressShare is the number of clients that can use their full rates from one address, by
// default.
const AddressShare = 50

// InboundShare sets the default of InboundBytesPerIP: one address may use 1/InboundShare of
// InboundBytes.
const InboundShare = 4

// DefaultLimits returns the limits of a gateway that is not configured otherwise.
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

// HistoryBytes is roughly the most memory, in bytes, that a node uses for recent history.
const HistoryBytes = timeline.MostBytes

// RatesLet is how many rates of departed clients a node remembers, at RateBytes each.
const (
	RatesLet  = rates.MostLet
	RateBytes = rates.BucketBytes
)

// DenialBytes is roughly the memory that a ban or a revocation takes on a node, in bytes.
const DenialBytes = denials.Bytes

// BetweenNodes is roughly the most memory, in bytes, that a node uses for the messages
// between nodes.
const BetweenNodes = cluster.Bytes

// Validate returns an error if a limit is negative.
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

// The most reads of histories and member lists that run at the broker at a time, over all
// sessions and requests of a client. Further reads wait, so that no client holds up the
// others.
const (
	readsOfOne     = 2 // for a user, or a client without a name
	readsOfAddress = 4 // for all clients at one address; less than the broker runs at a time
)

const (
	maxKey   = 255
	maxEvent = 255
	maxTags  = 1024
)
