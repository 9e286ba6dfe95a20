package client

import (
	"encoding/json"
	"time"
)

// Event is a Message, a Gap, a Join, a Leave or a PresenceChanged.
type Event interface{ event() }

// Message is one message of a channel.
type Message struct {
	Channel string
	Payload []byte
	Kind    Kind
	Event   string            // event name; may be empty
	Tags    map[string]string // may be nil

	// Set by the gateway, and ignored by Publish.
	Info   json.RawMessage // from the token of the user, on a channel with presence; may be nil
	User   string          // who published it; empty for a backend or an anonymous client
	Cursor string          // to subscribe from here on; empty if the channel has no history
	Time   time.Time       // when the gateway received it, in milliseconds; zero if not known

	// Key is the idempotency key of a publish: within some minutes, the gateway publishes a
	// key at most once. If it is empty, Publish generates one. Subscribers do not get it.
	Key string

	Transient bool // keep it out of the history; subscribers do not see this
}

// Kind is the type of a payload.
type Kind uint8

const (
	JSON   Kind = iota // one JSON value
	Text               // UTF-8
	Binary             // any bytes
)

// Gap says that messages may have been missed. On a channel with history, those that it
// still has follow.
type Gap struct{ Channel string }

// Join says that a member has come to the channel. A member is a user or, if the channel's
// rule says so, a single session.
type Join struct {
	Channel string
	User    string          // empty for an anonymous session
	Session string          // empty if the member is a user
	Info    json.RawMessage // from the user's token; may be nil
}

// Leave says that a member has left the channel.
type Leave struct {
	Channel string
	User    string
	Session string
}

// PresenceChanged says that more members have come and left than the gateway reports one by
// one. Call Presence for the current members.
type PresenceChanged struct{ Channel string }

func (Message) event()         {}
func (Gap) event()             {}
func (Join) event()            {}
func (Leave) event()           {}
func (PresenceChanged) event() {}

// Member is a member of a channel: a user or, if the channel's rule says so, a single session.
type Member struct {
	User     string          `json:"user"`
	Session  string          `json:"session,omitempty"`
	Info     json.RawMessage `json:"info,omitempty"` // from the user's token; may be nil
	Sessions int             `json:"sessions"`       // in the whole cluster
}
