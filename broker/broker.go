// Package broker carries messages between the nodes of a cluster.
//
// A [Broker] is the live path: publish, subscribe, receive. A [History] keeps what was
// published on a channel, in order and by position. [Memory] and [Redis] implement both;
// package brokertest checks every implementation against the contracts written here.
//
// The files of this package call each other only downward, without cycles. Those of Redis,
// from the top:
//
//	redis.go                  the whole: its parts, publish and subscribe
//	stream.go                 History      redis_presence.go, redis_notices.go  Presence
//	                                       redis_register.go                    Register
//	redis_follow.go           which link subscribes which partition, as masters come and go
//	redis_reconnect.go        opens one connection after another
//	redis_connection.go       one connection: what it sends and receives
//	redis_link.go             the subscriptions at one server
//	redis_lane.go             the queue of one partition's publications
//	redis_exchange.go         sends what the lanes of one master have
//	redis_board.go            whether Redis can be used
//	redis_subscribe.go        the subscriptions of one partition
//	redis_partition.go        one partition, and what the node knows of its master (redis_trust.go)
//	redis_servers.go          how servers are asked; redis_topology.go: which ones
//	redis_names.go            the names of channels in Redis, and which can share a script
package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ErrUnavailable says that the broker did not confirm an operation: the link is down, or it
// did not answer in time. The message of a failed publish may still have gone out. A retry
// with the same Message.Key publishes it at most once, unless the broker has lost data.
var ErrUnavailable = errors.New("broker unavailable")

// Broker is the live path of messages. All methods are safe for concurrent use.
//
// Receivers get the messages of one channel in the order in which they were published.
// Payloads and positions must not change once they are handed over, in either direction.
type Broker interface {
	// Run keeps the link to the broker up, reconnects as often as needed, and tells r what
	// arrives. It blocks until ctx ends and then returns nil; any other error is one that
	// no reconnect can fix. After Run has returned it no longer calls r, except perhaps for
	// a last Rest. Run must be called only once; before that, the other methods fail with
	// ErrUnavailable.
	Run(ctx context.Context, r Receiver) error

	// Subscribe returns once every message published on the channels from now on is sure to
	// be received, for as long as the link lasts. After a lost link the broker resubscribes
	// by itself and calls Receiver.Gap. Channels subscribed together share round trips. The
	// error says which channels are not subscribed, and why (see NotSubscribed); all others
	// are. Subscribe waits its turn for as long as the broker answers at all, but fails
	// within about a second if the broker does not answer. The caller must serialize calls
	// for one channel.
	Subscribe(ctx context.Context, channels ...string) error

	// Unsubscribe ends a subscription. Messages may still arrive for a moment. It fails
	// only if ctx ends; the broker makes up for an unsubscribe that was lost with the link.
	Unsubscribe(ctx context.Context, channel string) error

	// Publish sends m to every subscriber of m.Channel on every node, including this one,
	// and appends it to the channel's history if o keeps one. It does not block. It calls
	// done exactly once, within a second: with the position of the message (zero without
	// history), or with ErrUnavailable if the broker did not confirm it. The call may come
	// from any goroutine and before Publish returns; done must not block. Messages that one
	// goroutine publishes on a channel keep their order. After calls of done, the broker
	// calls Receiver.Rest.
	//
	// If m.Key is set and a message with this key was published on the channel within the
	// last IdempotencyWindow, Publish publishes nothing and done gets the position of the
	// first one. A key is as durable as its message: a broker that may lose what it has
	// confirmed (see Page.Lost) may lose keys, too. With o.Replicas, as many replicas hold
	// both.
	Publish(m Message, o PublishOptions, done func(Position, error))
}

// Publish publishes m on b and waits for the answer. If ctx ends first it returns an error,
// but the message may still go out.
func Publish(ctx context.Context, b Broker, m Message, o PublishOptions) (Position, error) {
	type answer struct {
		position Position
		err      error
	}
	err := ctx.Err()
	if err == nil {
		answered := make(chan answer, 1)
		b.Publish(m, o, func(p Position, err error) { answered <- answer{p, err} })
		select {
		case a := <-answered:
			return a.position, a.err
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	return Position{}, fmt.Errorf("publish on %q: %w: %w", m.Channel, ErrUnavailable, err)
}

// IdempotencyWindow is how long the broker remembers a Message.Key.
const IdempotencyWindow = 5 * time.Minute

// Receiver gets what a Broker receives. Its methods must not block. Calls for one channel
// never overlap; calls for different channels may.
type Receiver interface {
	// Receive gets one message that was published on a subscribed channel.
	Receive(Message)

	// Gap says that messages on these subscribed channels may have been missed, because of
	// err. The broker calls it once the channels are subscribed again, so that History
	// together with what is received from then on is complete.
	Gap(channels []string, err error)

	// Link says whether the broker can be used: err is nil if so, else it says why not. The
	// first call comes when the first attempt to connect has ended.
	Link(err error)

	// Rest says that the broker, after it delivered messages or answers to publishes, has
	// no more for now. Its calls may overlap with all others, and a last one may come after
	// Run has returned.
	Rest()
}

// PublishOptions says how a message is published. The zero value keeps no history and wraps
// the message in an envelope.
type PublishOptions struct {
	HistorySize int           // messages to keep; 0 keeps none
	HistoryTTL  time.Duration // how long to keep a message; 0 means as long as HistorySize allows
	Replicas    int           // how many replicas must have the message before it is confirmed. Only with history.
	// Bare sends only the payload, without an envelope, except where passesForEnvelope says
	// otherwise. Not with history.
	Bare      bool
	RestLater bool // call no Rest for answers given before Publish returns; the caller takes care of that
}

// History keeps the messages of channels. Reading creates nothing: a channel that nobody
// has published on takes no memory. All methods are safe for concurrent use and fail with
// ErrUnavailable if the broker does not answer in time.
type History interface {
	// Since returns the first messages after the given position, oldest first. The zero
	// Position means the beginning of what is kept; with it, Page.Lost is false.
	Since(ctx context.Context, channel string, after Position, most Most) (Page, error)

	// Latest returns the newest messages, oldest first.
	Latest(ctx context.Context, channel string, most Most) (Page, error)

	// Tops returns the newest position of each channel, in the order of channels, in as few
	// round trips as possible. A channel without any message yet has an unborn position
	// (see Position.Unborn), so that a cursor taken before its first message is valid. On
	// an error, the positions that could not be read are zero.
	Tops(ctx context.Context, channels []string) ([]Top, error)

	// Clear deletes the messages of the channel. The epoch stays and offsets go on, so that
	// live subscribers notice nothing.
	Clear(ctx context.Context, channel string) error
}

// Most limits the size of a page, and with it the cost of reading it. A zero field sets no
// limit. One message is returned even if it alone exceeds Bytes.
type Most struct {
	Messages int
	Bytes    int // of payloads and of the metadata kept with them
}

// Page is a run of a channel's history. Callers may share its messages, and must not change
// them.
type Page struct {
	Messages []Message // oldest first, with contiguous offsets
	Top      Position  // newest position of the channel, even if its message is gone; its epoch is never empty
	Former   Position  // as in Top
	// Lost says that messages between the requested position and Messages[0] are gone, or
	// may be. If Lost is false and Top has another epoch than the requested position, that
	// epoch has only just begun.
	Lost bool
}

// Top says where the history of a channel ends.
type Top struct {
	// Position is the newest one, even if its message is gone. Its epoch is never empty.
	Position
	// Former is the newest position of the previous epoch, whose remaining messages keep
	// their offsets. It is zero if there is none, and unborn if the channel had no message
	// before.
	Former Position
}

// Kind is the type of a payload.
type Kind uint8

const (
	JSON   Kind = iota // one JSON value
	Text               // UTF-8
	Binary             // any bytes
)

func (k Kind) String() string {
	switch k {
	case JSON:
		return "json"
	case Text:
		return "text"
	default:
		return "binary"
	}
}

// Message is one message of a channel.
type Message struct {
	Channel string
	Payload []byte
	Kind    Kind
	Event   string          // name sent with the data, or empty
	User    string          // the publisher; empty for a backend or an anonymous user
	Session string          // the publishing session; empty for a backend
	Except  string          // the session that must not receive it; empty if all do
	Info    json.RawMessage // what is known of the user, any JSON; nil if nothing
	// Elsewhere is what is known of the user on other channels if Info is for this channel
	// alone: null if nothing is. It is nil if Info holds on all channels.
	Elsewhere json.RawMessage
	Tags      json.RawMessage // a JSON object of strings sent with the data; nil if none
	Trace     string          // W3C traceparent of what caused the message; empty if it is not traced
	Key       string          // idempotency key, or empty; receivers do not get it
	Time      time.Time       // when a node took it, in milliseconds; zero if it is bare
	Position  Position        // zero on a channel without history
	Transient bool            // it is meant to be in no history: clients are not told if they missed it
}

// Size returns how many bytes the payload and all that goes with it have, without the channel.
func (m *Message) Size() int {
	return len(m.Payload) + len(m.Event) + len(m.User) + len(m.Session) + len(m.Except) + len(m.Info) +
		len(m.Elsewhere) + len(m.Tags) + len(m.Trace) + len(m.Key)
}

// Position is a place in the history of a channel. The zero value is no position.
//
// Offsets of one epoch count up from 1 without gaps. A new epoch begins with the first
// message of a channel, and whenever the history was lost.
type Position struct {
	Epoch  string
	Offset uint64
}

// IsZero reports whether p is the zero Position, which is none.
func (p Position) IsZero() bool { return p.Epoch == "" }

// String returns the cursor that clients see: "epoch:offset", or "" for the zero Position.
func (p Position) String() string {
	if p.IsZero() {
		return ""
	}
	return p.Epoch + ":" + strconv.FormatUint(p.Offset, 10)
}

// ParsePosition parses a cursor that Position.String returned.
func ParsePosition(cursor string) (Position, error) {
	if cursor == "" {
		return Position{}, nil
	}
	epoch, digits, ok := strings.Cut(cursor, ":")
	offset, err := strconv.ParseUint(digits, 10, 64)
	if !ok || err != nil || !isEpoch(epoch) {
		return Position{}, fmt.Errorf("malformed cursor %.64q: want epoch:offset as a message or a reply gave it", cursor)
	}
	return Position{Epoch: epoch, Offset: offset}, nil
}

const (
	maxEpoch      = 32
	epochAlphabet = "0123456789abcdefghijklmnopqrstuvwxyz"
)

func isEpoch(s string) bool {
	return s != "" && len(s) <= maxEpoch && strings.Trim(s, epochAlphabet) == ""
}
