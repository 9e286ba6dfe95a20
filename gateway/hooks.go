package gateway

import (
	"context"
	"encoding/json"
	"time"
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
	// Channels, of a publish Payload and Kind. Else the error is an *Error. It
	// takes a bounded time.
	Ask(ctx context.Context, q *Question) error

	// Tell returns nil once the backend has taken all of the notices, whose order
	// it keeps. On an error it may have taken some: the same are told again, until
	// there is none. It ends with ctx.
	Tell(ctx context.Context, notices []Notice) error
}

// HookEvent is what a backend can be asked or told.
type HookEvent string

// The first three ask; the others tell.
const (
	OnConnect         HookEvent = "connect"
	OnSubscribe       HookEvent = "subscribe"
	OnPublish         HookEvent = "publish"
	OnDisconnect      HookEvent = "disconnect"
	OnChannelOccupied HookEvent = "channel_occupied" // the first session of the cluster is on it
	OnChannelVacated  HookEvent = "channel_vacated"
	OnMemberJoined    HookEvent = "member_joined" // the user's first session of the cluster is on it
	OnMemberLeft      HookEvent = "member_left"
)

// HookEvents are all of them.
func HookEvents() []HookEvent {
	return []HookEvent{
		OnConnect, OnSubscribe, OnPublish,
		OnDisconnect, OnChannelOccupied, OnChannelVacated, OnMemberJoined, OnMemberLeft,
	}
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
	Channel   string   // not of a connect
	Publish   *Publish // of a publish alone
}

// Notice is what happened.
type Notice struct {
	ID       string // the same when it is told again
	Event    HookEvent
	Time     time.Time
	Node     string // of a disconnect the session's, else the one that tells
	Session  string // of a disconnect, and of a member that is a session
	Remote   string // of a disconnect, as is Reason
	Reason   Reason
	User     string          // of a disconnect, or of a member
	Channel  string          // of the other events
	Info     json.RawMessage // of a member; nil: none
	Sessions int             // on the channel after it, in the whole cluster
}
