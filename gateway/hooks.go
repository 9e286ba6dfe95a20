package gateway

import (
	"context"
	"encoding/json"
)

// Hooks let a backend take part in decisions and learn of events. Requests and sessions that
// use an API key belong to the backend itself: it is neither asked nor told about them. All
// methods must be safe for concurrent use.
type Hooks interface {
	// Wants reports whether the backend is to be asked, or told, about an event. The answer
	// must not change.
	Wants(HookEvent) bool

	// Ask returns nil if the backend allows q. Before that, it stores the backend's changes
	// in q: for a connect User, Info and Channels of the Principal; for a subscribe Info;
	// for both of them Told; for a publish Payload and Kind; for an rpc the Answer. Any
	// error is an *Error. Ask must return within a bounded time.
	Ask(ctx context.Context, q *Question) error

	// Tell delivers notices in order and returns nil once the backend has accepted all of
	// them. If it returns an error, some may have been accepted; the same notices are then
	// retried until it returns nil. Tell returns when ctx ends.
	Tell(ctx context.Context, notices []Notice) error
}

// HookEvent is an event that a backend can be asked or told about.
type HookEvent string

// The first four are questions; all others are notices.
const (
	OnConnect         HookEvent = "connect"
	OnSubscribe       HookEvent = "subscribe"
	OnPublish         HookEvent = "publish"
	OnRPC             HookEvent = "rpc" // a Call
	OnDisconnect      HookEvent = "disconnect"
	OnChannelOccupied HookEvent = "channel_occupied" // the first session in the cluster is on the channel
	OnChannelVacated  HookEvent = "channel_vacated"
	OnMemberJoined    HookEvent = "member_joined" // the user's first session in the cluster is on the channel
	OnMemberLeft      HookEvent = "member_left"
	OnSessionsChanged HookEvent = "sessions_changed"  // the number of sessions on the channel, in the cluster, has changed
	OnPublished       HookEvent = "message_published" // a client has published a message
	OnNothingRecent   HookEvent = "nothing_recent"    // a client asked for the last messages and there are none
)

// HookEvents returns all events: those that the backend is asked about come first.
func HookEvents() []HookEvent {
	return append([]HookEvent{OnConnect, OnSubscribe, OnPublish, OnRPC}, noticeEvents()...)
}

// noticeEvents returns the events that the backend is told of.
func noticeEvents() []HookEvent {
	return []HookEvent{
		OnDisconnect, OnChannelOccupied, OnChannelVacated, OnMemberJoined, OnMemberLeft,
		OnSessionsChanged, OnPublished, OnNothingRecent,
	}
}

// Question describes what a client wants to do.
type Question struct {
	Event     HookEvent
	Node      string // the node that asks
	Session   string // empty: a request without a session
	Transport string // of the session, if there is one
	Protocol  string
	Remote    string // the client's address, without a port
	Principal Principal
	Channel   string   // for a subscribe or a publish
	Publish   *Publish // for a publish only
	Call      *Call    // for an rpc only
	Answer    *Answer  // to the Call; nil: none yet

	Data string          // for a connect or a subscribe: what the client says beside its token; empty: nothing
	Info json.RawMessage // for a subscribe: shown with the user on the channel; nil: the same as elsewhere
	Told json.RawMessage // for a connect or a subscribe: sent to the client with the answer; nil: nothing

	Headers map[string][]string // of the client's request: see WithHeaders
}

// WithHeaders returns a context for a client's request. A Question that is asked while the
// request is served shows the headers, and so does the first about its connect.
func WithHeaders(ctx context.Context, headers map[string][]string) context.Context {
	return context.WithValue(ctx, headersKey{}, headers)
}

type headersKey struct{}

func headersOf(ctx context.Context) map[string][]string {
	headers, _ := ctx.Value(headersKey{}).(map[string][]string)
	return headers
}
