package gateway

import (
	"context"
	"encoding/json"
	"time"

	"tidegate/broker"
)

// Hooks give a backend its say. Requests and sessions that act by an API key are
// the backend's own: it is neither asked nor told of what they do. All methods
// may be called concurrently.
type Hooks interface {
	// Wants reports whether the backend is to be asked, or told, of an event. The
	// answer does not change.
	Wants(HookEvent) bool

	// Ask returns nil if q may happen, and has put into q by then what the
	// backend would have it be: of a connect the principal's User, Info and
	// Channels, of a subscribe Info, of both Told, of a publish Payload and Kind, of an
	// rpc the Answer. Else the error is an *Error. It takes a bounded time.
	Ask(ctx context.Context, q *Question) error

	// Tell returns nil once the backend has taken all of the notices, whose order
	// it keeps. On an error it may have taken some: the same are told again, until
	// there is none. It ends with ctx.
	Tell(ctx context.Context, notices []Notice) error
}

// HookEvent is something that a backend can be asked, or be told.
type HookEvent string

// The first four are questions, all others are notices.
const (
	OnConnect         HookEvent = "connect"
	OnSubscribe       HookEvent = "subscribe"
	OnPublish         HookEvent = "publish"
	OnRPC             HookEvent = "rpc" // a Call
	OnDisconnect      HookEvent = "disconnect"
	OnChannelOccupied HookEvent = "channel_occupied" // the first session of the cluster is on it
	OnChannelVacated  HookEvent = "channel_vacated"
	OnMemberJoined    HookEvent = "member_joined" // the user's first session of the cluster is on it
	OnMemberLeft      HookEvent = "member_left"
	OnSessionsChanged HookEvent = "sessions_changed"  // there are more sessions of the cluster on it, or fewer
	OnPublished       HookEvent = "message_published" // a client has published a message
	OnNothingRecent   HookEvent = "nothing_recent"    // a client wanted the last messages, and there are none
)

// HookEvents are all of them.
func HookEvents() []HookEvent {
	return []HookEvent{
		OnConnect, OnSubscribe, OnPublish, OnRPC,
		OnDisconnect, OnChannelOccupied, OnChannelVacated, OnMemberJoined, OnMemberLeft,
		OnSessionsChanged, OnPublished, OnNothingRecent,
	}
}

const firstTold = 3 // of HookEvents

// Receiver is a backend that is told of some channels, beside the one of Hooks.
type Receiver struct {
	// Name is of the line of its notices, the same on all nodes: letters, digits, _ and -.
	Name string

	Of    func(channel string) bool // whether it is told of a channel; nil: of all
	Wants func(HookEvent) bool      // as Hooks.Wants. No one but Hooks is told of a disconnect

	// Tell is as Hooks.Tell.
	Tell func(ctx context.Context, notices []Notice) error
}

// Question is what a client wants to do.
type Question struct {
	Event     HookEvent
	Node      string // that asks
	Session   string // empty: a request without a session
	Transport string // of the session, if there is one
	Protocol  string
	Remote    string // the client's address, without a port
	Principal Principal
	Channel   string   // of a subscribe or a publish
	Publish   *Publish // of a publish alone
	Call      *Call    // of an rpc alone
	Answer    *Answer  // to that; nil: the backend has not said anything

	Data string          // of a connect or a subscribe: what the client says beside its token; empty: nothing
	Info json.RawMessage // of a subscribe: what is shown with the user on the channel; nil: what is shown elsewhere
	Told json.RawMessage // of a connect or a subscribe: what the client is told with the answer; nil: nothing
}

// Notice is what happened.
type Notice struct {
	ID       string // the same when it is told again
	Event    HookEvent
	Time     time.Time
	Node     string // of a disconnect the session's, else the one that tells
	Session  string // of a disconnect, a member that is a session, a message, and nothing recent
	Remote   string // of a disconnect, as is Reason
	Reason   Reason
	User     string          // of a disconnect or a member, or the one that published or subscribed
	Channel  string          // of all events but a disconnect
	Info     json.RawMessage // of a member; nil: none
	Sessions int             // on the channel after it, in the whole cluster; not of a message, or of nothing recent
	Message  *broker.Message // that was published; nil: none was. It has no position
}
