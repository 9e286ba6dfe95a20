// Package broker carries messages between the nodes of a cluster.
//
// A [Broker] is the live path: publish, subscribe, receive. A [History] is the
// memory of a channel: what was published, in order, by position. Memory and
// Redis implement both; package brokertest holds every implementation to the
// contracts written here.
//
// The files of this package call each other downward: none is in a circle. Those of
// Redis, from above:
//
//	redis.go                  the whole: parts, and what it publishes and subscribes by them
//	stream.go                 History      redis_presence.go, redis_notices.go  Presence
//	                                       redis_register.go                    Register
//	redis_follow.go           which link subscribes which partition, as masters come and go
//	redis_reconnect.go        one connection after the other
//	redis_connection.go       one of them: what is sent, what arrives
//	redis_link.go             what is subscribed at one server
//	redis_lane.go             what one partition publishes; redis_exchange.go sends it
//	redis_board.go            whether Redis can be used
//	redis_subscribe.go        what is subscribed of a partition
//	redis_partition.go        one partition, and what is known of its master (redis_trust.go)
//	redis_servers.go          how servers are asked (redis_topology.go: which)
//	redis_watch.go            what went wrong; redis_names.go: what channels are called
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

// ErrUnavailable says that the broker did not confirm: the link is down, or did
// not answer in time. A publish that failed so may still have gone out; sent
// again with the same Message.Key it is published at most once, for as long as the
// broker has not lost what it had.
var ErrUnavailable = errors.New("broker unavailable")

// Broker is the live path of messages. All methods may be called concurrently.
//
// Messages of one channel are received in the order in which they were
// published. Payloads and positions are immutable once handed over, in both
// directions.
type Broker interface {
	// Run keeps the link to the broker up, reconnecting as often as it takes,
	// and tells r what arrives. It blocks until ctx ends and returns nil then;
	// any other error is one that no reconnect can mend. Nothing is told to r
	// after Run has returned. Run is called once; until it is, the other
	// methods fail with ErrUnavailable.
	Run(ctx context.Context, r Receiver) error

	// Subscribe returns once every message that is published on the channels
	// from now on is sure to be received, for as long as the link lasts. A lost
	// link is resubscribed by the broker and told by Receiver.Gap. Channels that
	// are subscribed together share round trips. An error says which of them are
	// not subscribed, and why (see NotSubscribed); the others are. It waits its
	// turn for as long as the broker answers at all; a broker that does not
	// answer fails it within about a second. The caller serialises the calls for
	// one channel.
	Subscribe(ctx context.Context, channels ...string) error

	// Unsubscribe ends a subscription. Messages may still arrive for a moment.
	// It fails only if ctx ends; an unsubscribe that the link lost is made good
	// by the broker.
	Unsubscribe(ctx context.Context, channel string) error

	// Publish hands m to every subscriber of m.Channel on every node, this one
	// included, and appends it to the channel's history if o keeps one. It
	// returns at once; done is told, once, the message's position (zero without
	// history), or that it was not confirmed, by ErrUnavailable, within a second.
	// That may be before Publish returns, and by any goroutine; done must not
	// block. What one goroutine publishes on a channel keeps its order. After
	// calls of done the Receiver is told to Rest.
	//
	// If m.Key is set, and a message with this key was published on the channel
	// within the last IdempotencyWindow, nothing is published and the first one's
	// position is told. A key is as safe as its message: a broker that may forget what
	// it has confirmed (see Page.Lost) may forget keys, too. With o.Replicas both are
	// held by as many others.
	Publish(m Message, o PublishOptions, done func(Position, error))
}

// Publish publishes on b and waits for the answer, or until ctx ends. The message
// may still go out then.
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

// IdempotencyWindow is how long a Message.Key is remembered.
const IdempotencyWindow = 5 * time.Minute

// Receiver is told what a Broker receives. No method blocks. Calls for the same
// channel never overlap; calls for different channels may.
type Receiver interface {
	// Receive takes one message that was published on a subscribed channel.
	Receive(Message)

	// Gap says that messages on these subscribed channels may have been missed,
	// because of err. It is called once the channels are subscribed again, so
	// that what History has from then on is complete.
	Gap(channels []string, err error)

	// Link says whether the broker can be used: nil if so, else why not.
	// The first call comes when the first attempt to connect has ended.
	Link(err error)

	// Rest says that the broker, which has told of messages, or of positions of
	// published ones, has no more to tell for now. Calls may overlap with all
	// others, and a last one may come when Run has returned.
	Rest()
}

// PublishOptions say how a message is published. The zero value keeps no
// history and wraps what needs it in an envelope.
type PublishOptions struct {
	HistorySize int           // messages kept; 0 keeps none
	HistoryTTL  time.Duration // how long a message is kept; 0 as long as HistorySize allows
	Replicas    int           // which must have the message before it is confirmed. Only with history.
	Bare        bool          // no envelope: only the payload travels, but see passesForEnvelope. Not with history.
	RestLater   bool          // no Rest follows what is told before Publish returns: the caller sees to that
}

// History is the memory of channels. Reading it makes nothing: a channel that was
// never published on takes no room. All methods may be called concurrently.
// Each fails with ErrUnavailable when the broker does not answer in time.
type History interface {
	// Since returns the first messages after the given position, oldest first.
	// The zero position means the beginning of what is kept, and loses nothing.
	Since(ctx context.Context, channel string, after Position, most Most) (Page, error)

	// Latest returns the newest messages, oldest first.
	Latest(ctx context.Context, channel string, most Most) (Page, error)

	// Tops returns the newest position of each channel, in the order asked, in
	// as few round trips as can be. A channel that has none yet has an unborn one
	// (see Position.Unborn), so that a cursor taken before its first message is
	// good. On an error the positions that could not be read are zero.
	Tops(ctx context.Context, channels []string) ([]Top, error)

	// Clear forgets the channel's messages. The epoch stays and offsets go on,
	// so that live subscribers notice nothing.
	Clear(ctx context.Context, channel string) error
}

// Most bounds a page, and with it what reading it costs. A field that is zero
// bounds nothing. One message is returned even if it alone is more than Bytes.
type Most struct {
	Messages int
	Bytes    int // of payloads, and of what is kept beside them
}

// Page is a run of a channel's history.
type Page struct {
	Messages []Message // oldest first, contiguous offsets
	Top      Position  // newest position of the channel, kept or not; its epoch is never empty
	Former   Position  // as in Top
	Lost     bool      // messages between the position asked for and Messages[0] are gone, or may be; else, if Top has another epoch, that has only just begun
}

// Top is where a channel's history is.
type Top struct {
	Position          // the newest, of a message that is kept or not; its epoch is never empty
	Former   Position // the newest of the epoch before, whose messages are kept under their offsets; zero: of none; unborn: nothing was before
}

// Kind says what a payload is.
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
	Channel   string
	Payload   []byte
	Kind      Kind
	Event     string          // the name beside the data, or empty
	User      string          // who published it; empty: a backend, or anonymous
	Session   string          // the publishing session; empty: a backend
	Except    string          // the session that it is not for; empty: it is for all
	Info      json.RawMessage // what is known of the user, any JSON; nil: nothing
	Elsewhere json.RawMessage // what is known of the user on other channels, where Info is of this one alone: null if nothing is; nil: Info
	Tags      json.RawMessage // names beside the data, a JSON object of strings; nil: none
	Trace     string          // W3C traceparent of what has led to it; empty: nobody traces it
	Key       string          // idempotency key, or empty; not told to receivers
	Time      time.Time       // when a node took it, to the millisecond; zero: bare
	Position  Position        // zero on a channel without history
	Transient bool            // meant to be in no history: that it was missed is told to nobody
}

// Position is a place in a channel's history. The zero value is none.
//
// Offsets of one epoch count up from 1 without holes. An epoch begins with the
// channel's first message, and when the history was lost.
type Position struct {
	Epoch  string
	Offset uint64
}

// IsZero reports whether p is no position.
func (p Position) IsZero() bool { return p.Epoch == "" }

// String returns the cursor that clients see: "epoch:offset", or "" for none.
func (p Position) String() string {
	if p.IsZero() {
		return ""
	}
	return p.Epoch + ":" + strconv.FormatUint(p.Offset, 10)
}

// ParsePosition reads what Position.String wrote.
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
