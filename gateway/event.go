package gateway

import (
	"encoding/json"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/timeline"
)

// Event is what the gateway can tell a client: one of the structs of this file.
// A Protocol encodes them. A command is always answered, whether or not its client gave
// an ID; a protocol that has no answer without an ID encodes none. An Event is immutable,
// and may be encoded by several protocols at once.
type Event interface{ event() }

// Welcome is the first event of a session, and the answer to an Auth.
type Welcome struct {
	ID      ID // not Given: the first one
	Session string
	User    string          // empty: anonymous
	Info    json.RawMessage // of the user; nil: none
	Node    string
	Key     string          // Hello.Key
	Expires time.Time       // when the session ends unless its token is renewed; zero: never
	Ping    time.Duration   // how often the gateway pings; zero: never
	Data    json.RawMessage // what the backend tells with it (Question.Told); nil: nothing

	// Channels are those that the server has put the session on, in its first Welcome
	// alone. Each is told by itself as well, with Welcomed set, right after.
	Channels []Subscribed
}

// Subscribed says that the session is on a channel: every later message of it arrives,
// after those that were recovered.
type Subscribed struct {
	ID        ID
	Asked     bool // by a Subscribe; else the gateway did it by itself
	Welcomed  bool // the Welcome has told so, too
	Unseen    bool // the session is not one of those who are there (Principal.Watched)
	Channel   string
	Position  broker.Position // of the channel, zero without history
	After     broker.Position // all that was published after it follows; zero without history
	Expires   time.Time       // when it ends unless it is renewed; zero: with the session
	Data      json.RawMessage // what the backend tells with it (Grant.Data, Question.Told); nil: nothing
	Resumed   bool            // there was a cursor; only then Recovered means something
	Recovered bool            // all that was published since the cursor follows

	// Members are who is on a channel that tells joins and leaves, at the moment of
	// joining it, this session's member at the end: with the joins and leaves that
	// follow, the truth. How many sessions they have is not said. nil: it was not
	// asked for. If it was, Position, After and Recovered are not set.
	Members []Member
}

// Unsubscribed confirms an Unsubscribe, or says that the gateway did it by itself.
type Unsubscribed struct {
	ID      ID
	Channel string
	Code    Code // why the gateway did it; empty: it was asked to
	Expired bool // why: what the client has shown is of no use any more, something newer may be
	Reason  string
}

// Renewed confirms a Renew.
type Renewed struct {
	ID      ID
	Channel string
	Expires time.Time // as in Subscribed
}

// Published confirms a Publish.
type Published struct {
	ID       ID
	Channel  string
	Position broker.Position // zero without history
}

// Message is one message of a channel.
type Message struct{ *broker.Message }

// Delta is one message of a channel for clients that asked for deltas (Subscribe.Deltas).
// Before is the message of the channel that the client was told last, so that what
// differs is enough; nil: it needs the whole message. A protocol whose clients ask for
// deltas says each of them.
type Delta struct {
	*broker.Message
	Before      *broker.Message
	Differences *Differences // between both, for all protocols and formats in which they are the same
}

// Differences are worked out once: see Differences.In.
type Differences = timeline.Differences

// Members answers a Presence.
type Members struct {
	ID      ID
	Channel string
	Members []Member // by user
}

// Member is who is on a channel: a user or, where Session is set, a session.
type Member struct {
	User     string
	Session  string
	Info     json.RawMessage // from the user's token; nil: none
	Sessions int             // in the whole cluster

	Elsewhere json.RawMessage // as in Identity
}

// Messages answers a History.
type Messages struct {
	ID       ID
	Channel  string
	Messages []broker.Message // oldest first
	Position broker.Position  // the cursor to read on from
	Top      broker.Position  // of the channel's newest message
	Lost     bool             // older messages than these are gone
	Unknown  bool             // nothing is known of the epoch that the cursor is of
}

// Join says that a member came to a channel: a user with the first of his sessions,
// or a session.
type Join struct {
	Channel   string
	User      string
	Session   string          // where each session is a member
	Info      json.RawMessage // nil: none
	Elsewhere json.RawMessage // as in Identity
}

// Leave says that a member left a channel: a user with the last of his sessions, or
// a session.
type Leave struct {
	Channel   string
	User      string
	Session   string
	Info      json.RawMessage // as told when it came
	Elsewhere json.RawMessage // as in Identity
}

// PresenceChanged says that more members came to a channel or left it than are told
// one by one. A client that wants to know the members asks for them.
type PresenceChanged struct{ Channel string }

// NothingRecent says that a Subscribe asked for recent messages and there are none.
type NothingRecent struct{ Channel string }

// Counted says how many sessions are on a channel in the whole cluster.
type Counted struct {
	Channel  string
	Sessions int
}

// CaughtUp says that all that Session.Subscribe was to bring has been told.
type CaughtUp struct{}

// Gap says that messages of a channel may have been missed here and cannot be
// had any more.
type Gap struct{ Channel string }

// Failure says that a command failed, or that something concerns the whole
// session.
type Failure struct {
	ID      ID
	Channel string // of the command, if it had one
	Command string // its name in metrics; empty: there was none
	Code    Code
	Message string
	Reason  Reason // of an Error that has one of its own; else zero
}

// Answer is what the backend answers to a Call.
type Answer struct {
	ID      ID
	Payload []byte // nil: nothing
	Kind    broker.Kind
}

// Pong answers a Ping.
type Pong struct{ ID ID }

// Heartbeat asks the peer for a sign of life, or gives one, where a transport
// has a way to.
type Heartbeat struct{}

// Reconnect asks the client to come back on another node, within a time.
type Reconnect struct{ Within time.Duration }

// Goodbye is all that a client is told whose session is refused by its protocol (see
// Gateway.Refuse): why. The connection closes with what Farewell says of the same.
type Goodbye struct{ Reason Reason }

func (Welcome) event()         {}
func (Subscribed) event()      {}
func (Renewed) event()         {}
func (Unsubscribed) event()    {}
func (Published) event()       {}
func (Message) event()         {}
func (Delta) event()           {}
func (Members) event()         {}
func (Messages) event()        {}
func (Join) event()            {}
func (Leave) event()           {}
func (PresenceChanged) event() {}
func (NothingRecent) event()   {}
func (Counted) event()         {}
func (CaughtUp) event()        {}
func (Gap) event()             {}
func (Failure) event()         {}
func (Answer) event()          {}
func (Pong) event()            {}
func (Heartbeat) event()       {}
func (Reconnect) event()       {}
func (Goodbye) event()         {}
