package client

import (
	"encoding/json"
	"time"
)

// Event is what a Subscription receives: a Message, a Gap, a Join, a Leave or a
// PresenceChanged.
type Event interface{ event() }

// Message is one message of a channel.
type Message struct {
	Channel string
	Payload []byte
	Kind    Kind
	Event   string            // a name beside the payload, or empty
	Tags    map[string]string // names beside the payload; nil: none

	// Told by the gateway, and ignored by Publish.
	Info   json.RawMessage // what the token of the user says, on a channel with presence; nil: nothing
	User   string          // who published it; empty: a backend, or anonymous
	Cursor string          // to subscribe from here on; empty: the channel keeps no history
	Time   time.Time       // when the gateway took it, to the millisecond; zero: not known

	// Key makes a Publish happen at most once, however often it is sent within
	// some minutes; if it is empty, one is made up. Not told to subscribers.
	Key string

	Transient bool // keep it out of the history. Not told to subscribers
}

// Kind says what a payload is.
type Kind uint8

const (
	JSON   Kind = iota // one JSON value
	Text               // UTF-8
	Binary             // any bytes
)

// Gap says that messages may have been missed here. On a channel with history
// those that are left of it follow.
type Gap struct{ Channel string }

// Join says that a member came to the channel: a user, or, where the channel's rule
// says so, a session.
type Join struct {
	Channel string
	User    string          // empty: a session without a name
	Session string          // empty: the member is the user
	Info    json.RawMessage // from the user's token; nil: none
}

// Leave says that a member left the channel.
type Leave struct {
	Channel string
	User    string
	Session string
}

// PresenceChanged says that more members came and left than the gateway tells one by
// one: Presence has those who are there.
type PresenceChanged struct{ Channel string }

func (Message) event()         {}
func (Gap) event()             {}
func (Join) event()            {}
func (Leave) event()           {}
func (PresenceChanged) event() {}

// Member is who is on a channel: a user, or, where the channel's rule says so, a session.
type Member struct {
	User     string          `json:"user"`
	Session  string          `json:"session,omitempty"`
	Info     json.RawMessage `json:"info,omitempty"` // from the user's token; nil: none
	Sessions int             `json:"sessions"`       // in the whole cluster
}
