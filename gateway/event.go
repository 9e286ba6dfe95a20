package gateway

import (
	"encoding/json"
	"time"

	"tidegate/broker"
)

// Event is something that the gateway tells a client: one of the structs of this file. A
// Protocol encodes events. Every command is answered, even if its client gave no ID; a
// protocol without such answers encodes none. An Event is immutable, and several protocols
// may encode it concurrently.
type Event interface{ event() }

// Welcome is the first event of a session, and the answer to an Auth.
type Welcome struct {
	ID      ID // not Given in the first Welcome
	Session string
	User    string          // empty: anonymous
	Info    json.RawMessage // of the user; nil: none
	Node    string
	Key     string          // Hello.Key
	Expires time.Time       // when the session ends unless its token is renewed; zero: never
	Ping    time.Duration   // how often the gateway pings; zero: never
	Data    json.RawMessage // from the backend (Question.Told); nil: none

	// Channels lists the subscriptions that the server has made for the session. It is set
	// in the first Welcome only. An event for each follows, with Welcomed set.
	Channels []Subscribed
}

// Subscribed says that the session is on a channel: it receives the recovered messages and
// then every later one.
type Subscribed struct {
	ID        ID
	Asked     bool // by a Subscribe; else the gateway subscribed the session itself
	Welcomed  bool // the Welcome has listed it already
	Unseen    bool // the session is not shown as present (Principal.Watched)
	Channel   string
	Position  broker.Position // of the channel; zero without history
	After     broker.Position // all messages published after this position follow; zero without history
	Expires   time.Time       // when the subscription ends unless renewed; zero: with the session
	Data      json.RawMessage // from the backend (Grant.Data, Question.Told); nil: none
	Resumed   bool            // there was a cursor; Recovered is meaningful only then
	Recovered bool            // all messages published since the cursor follow

	// Members lists who is on the channel at the moment of joining, with this session's own
	// member last. The joins and leaves that follow keep the list exact. The members'
	// session counts are not set. Members is set only for channels that announce joins and
	// leaves, and nil if it was not asked for. If it was, Position, After and Recovered are
	// not set.
	Members []Member
}

// Unsubscribed confirms an Unsubscribe, or says that the gateway has ended a subscription.
type Unsubscribed struct {
	ID      ID
	Channel string
	Code    Code // why the gateway did it; empty: the client asked for it
	Expired bool // the client's credentials for the channel have expired; newer ones may still be accepted
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
// Before is the channel's message that the client got last, so that the difference is
// enough; nil: the client needs the whole message. A protocol whose clients may ask for
// deltas must encode each of them.
type Delta struct {
	*broker.Message
	Before *broker.Message
}

// Members answers a Presence.
type Members struct {
	ID      ID
	Channel string
	Members []Member // sorted by user
}

// Member is one member of a channel: a user or, if Session is set, a single session.
type Member struct {
	User     string          `json:"user"`
	Session  string          `json:"session,omitempty"`
	Info     json.RawMessage `json:"info,omitempty"` // from the user's token; nil: none
	Sessions int             `json:"sessions"`       // the number of the user's sessions, in the whole cluster; 0: it may come back, and no leave is told yet

	Elsewhere json.RawMessage `json:"-"` // as in Identity
}

// Messages answers a History.
type Messages struct {
	ID       ID
	Channel  string
	Messages []broker.Message // oldest first
	Position broker.Position  // the cursor to continue reading from
	Top      broker.Position  // of the channel's newest message
	Lost     bool             // messages older than these are lost
	Unknown  bool             // the cursor's epoch is unknown
}

// Join says that a member joined a channel: a user with his first session, or a session.
type Join struct {
	Channel   string
	User      string
	Session   string          // set if each session is a member
	Info      json.RawMessage // nil: none
	Elsewhere json.RawMessage // as in Identity
}

// Leave says that a member left a channel: a user with his last session, or a session.
type Leave struct {
	Channel   string
	User      string
	Session   string
	Info      json.RawMessage // as in the Join
	Elsewhere json.RawMessage // as in Identity
}

// PresenceChanged says that more members joined or left a channel than are announced one by
// one. A client that needs the members asks for them.
type PresenceChanged struct{ Channel string }

// NothingRecent answers a Subscribe that asked for recent messages of which there are none.
type NothingRecent struct{ Channel string }

// Counted gives the number of sessions on a channel, in the whole cluster.
type Counted struct {
	Channel  string
	Sessions int
}

// CaughtUp says that everything Session.Subscribe was to deliver has been delivered.
type CaughtUp struct{}

// Gap says that messages of a channel may be missing at this point and cannot be recovered.
type Gap struct{ Channel string }

// Failure says that a command failed, or reports a problem of the whole session.
type Failure struct {
	ID      ID
	Channel string // of the command, if it had one
	Command string // its name in metrics; empty: there was no command
	Code    Code
	Message string
	Reason  Reason // the Reason of an Error that has one; else zero
}

// Answer is the backend's answer to a Call.
type Answer struct {
	ID      ID
	Payload []byte // nil: empty
	Kind    broker.Kind
}

// Pong answers a Ping.
type Pong struct{ ID ID }

// Heartbeat asks the peer for a sign of life, or gives one, if the transport has a way to.
type Heartbeat struct{}

// Reconnect asks the client to reconnect to another node within the given time.
type Reconnect struct{ Within time.Duration }

// Goodbye is the only event of a session that is refused through its protocol (see
// Gateway.Refuse): it says why. The connection is closed with what Farewell returns for the
// same Reason.
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
