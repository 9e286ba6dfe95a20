package gateway

import (
	"encoding/json"

	"tidegate/broker"
)

// Command is a request of a client: one of the structs of this file. A Protocol decodes
// commands, and a session handles them in order.
//
// An empty Channel means the session's own channel, for protocols that name the channel
// once, when the session opens (Hello.Channel).
type Command interface {
	// about returns the command's name in metrics, its ID and its channel.
	about() (kind string, id ID, channel string)
}

// ID is the client's identifier for a command, which its answer repeats.
type ID struct {
	Value int64
	Given bool // if false, the Protocol decides what to answer
}

// Auth sets or renews the session's token. Without a token the client is the one that its
// handshake has identified.
type Auth struct {
	ID    ID
	Token string
	Data  string // what the client says beside the token; for a Gate, what the token is about

	// Cursors has the client's cursors on channels that the server subscribes it to, by
	// channel, with values as in Subscribe. They are used only if the answer is the
	// session's first Welcome (Hello.AuthFirst).
	Cursors map[string]string
}

// Subscribe asks for a channel's messages: all after Cursor, if one is given; else the last
// Recent messages, as far as the history has them, followed by the live ones.
type Subscribe struct {
	ID      ID
	Channel string
	Cursor  string // in the format of Position.String; empty: live messages only
	Recent  int    // 0: none. Ignored if there is a cursor
	Whole   bool   // fail, with the Reason Missed, if some messages after the cursor are lost
	Members bool   // the reply lists the members and has no positions
	NoEcho  bool   // omit what this session publishes
	Deltas  bool   // send the channel's messages as Delta
	Token   string // admits to the channel: checked by a Gate or, without one, used as TokenInfo.Channel describes
	Data    string // what the client says beside the token; for a Gate, what the token is about
}

// Renew presents new credentials for a subscription, in place of those of its Subscribe, so
// that it does not end (see Admission.Until).
type Renew struct {
	ID      ID
	Channel string
	Token   string
	Data    string
}

// Unsubscribe asks to leave a channel.
type Unsubscribe struct {
	ID      ID
	Channel string
}

// Publish asks to publish one message. The command owns Payload.
type Publish struct {
	ID        ID
	Channel   string
	Payload   []byte
	Kind      broker.Kind
	Event     string
	Tags      json.RawMessage // names beside the data, a JSON object with string values; nil: none
	Key       string          // idempotency key; empty: none
	Joined    bool            // publish only if the session is on the channel
	Except    string          // a session that must not receive it; empty: none
	Transient bool            // not kept in the history; nobody is told if it is lost
	Trace     string          // traceparent (W3C Trace Context) of the cause, as given by the publisher; empty: none

	mark string // marks a traced message (Trace); empty: it is not traced
}

// Presence asks who is on a channel.
type Presence struct {
	ID      ID
	Channel string
}

// History asks for messages after Cursor, or for the newest ones before it. Without a
// cursor it asks for the newest messages of all, or for the oldest. The reply is in order,
// oldest first.
type History struct {
	ID      ID
	Channel string
	Cursor  string
	Before  bool // with a cursor: the messages before it
	Oldest  bool // without a cursor: begin with the oldest message kept
	Limit   int  // 0: as many as fit into a reply
}

// Call asks the backend something that is not about a channel. The command owns Payload.
type Call struct {
	ID      ID
	Method  string // up to 255 bytes
	Payload []byte
	Kind    broker.Kind
}

// Ping asks for a Pong.
type Ping struct{ ID ID }

// Malformed stands for a frame, or a part of one, that the protocol could not parse. The
// client is told, and the session goes on.
type Malformed struct {
	ID     ID
	Reason string
}

func (c Auth) about() (string, ID, string)        { return "auth", c.ID, "" }
func (c Subscribe) about() (string, ID, string)   { return "subscribe", c.ID, c.Channel }
func (c Renew) about() (string, ID, string)       { return "renew", c.ID, c.Channel }
func (c Unsubscribe) about() (string, ID, string) { return "unsubscribe", c.ID, c.Channel }
func (c Publish) about() (string, ID, string)     { return "publish", c.ID, c.Channel }
func (c Presence) about() (string, ID, string)    { return "presence", c.ID, c.Channel }
func (c History) about() (string, ID, string)     { return "history", c.ID, c.Channel }
func (c Call) about() (string, ID, string)        { return "call", c.ID, "" }
func (c Ping) about() (string, ID, string)        { return "ping", c.ID, "" }
func (c Malformed) about() (string, ID, string)   { return "malformed", c.ID, "" }

// size returns how many bytes the client has sent with the command.
func (c *Subscribe) size() int {
	return len(c.Channel) + len(c.Cursor) + len(c.Token) + len(c.Data)
}

// commandKinds lists the names of all commands in metrics.
var commandKinds = []string{"auth", "subscribe", "renew", "unsubscribe", "publish", "presence", "history", "call", "ping", "malformed"}
