package gateway

import (
	"encoding/json"

	"tidegate/broker"
)

// Command is what a client asks of the gateway: one of the structs of this
// file. A Protocol decodes them; a session handles them in order.
//
// An empty Channel means the session's own channel, for protocols that name it
// once, when the session opens (Hello.Channel).
type Command interface{ command() }

// ID is what a client gave a command to know its answer by.
type ID struct {
	Value int64
	Given bool // what is said to one that was not, the Protocol decides
}

// Auth gives the session's token, or renews it. Without one the client is whom its
// handshake has shown.
type Auth struct {
	ID    ID
	Token string
	Data  string // what the client says with it: for a Gate, what the token is about

	// Cursors are where the client is on channels that the server puts it on, by
	// channel, as in Subscribe. They count where the answer is a session's first
	// Welcome (Hello.AuthFirst).
	Cursors map[string]string
}

// Subscribe asks for a channel's messages: from Cursor on if that is given, else,
// before what is live, for the Recent last ones, as far as the history has them.
type Subscribe struct {
	ID      ID
	Channel string
	Cursor  string // as Position.String wrote it; empty: from now on
	Recent  int    // 0: none; with a cursor, the cursor counts
	Members bool   // the reply lists the members, and has no positions
	NoEcho  bool   // leave out what this session publishes
	Deltas  bool   // tell its messages as Delta
	Token   string // opens the channel: to a Gate or, without one, as TokenInfo.Channel says
	Data    string // what the client says with it: for a Gate, what the token is about
}

// Renew shows anew what a Subscribe has shown, so that the subscription goes on (see
// Admission.Until).
type Renew struct {
	ID      ID
	Channel string
	Token   string
	Data    string
}

// Unsubscribe asks for no more of a channel's messages.
type Unsubscribe struct {
	ID      ID
	Channel string
}

// Publish asks to publish one message. Payload is the command's to keep.
type Publish struct {
	ID        ID
	Channel   string
	Payload   []byte
	Kind      broker.Kind
	Event     string
	Tags      json.RawMessage // names beside the data, a JSON object of strings; nil: none
	Key       string          // idempotency key, or empty
	Joined    bool            // only if the session is on the channel
	Except    string          // the session that is not to hear it; empty: all hear it
	Transient bool            // it goes into no history; that it was missed is told to nobody
	Trace     string          // traceparent (W3C Trace Context) of what has led to it, as the publisher gave it; empty: none

	mark string // of a message that is followed (Trace); empty: it is not
}

// Presence asks who is on a channel.
type Presence struct {
	ID      ID
	Channel string
}

// History asks for the messages after Cursor, or before it the newest ones; without a
// cursor, for the newest ones of all, or the oldest. They come oldest first.
type History struct {
	ID      ID
	Channel string
	Cursor  string
	Before  bool // with a cursor: what came before it
	Oldest  bool // without a cursor: from the beginning of what is kept
	Limit   int  // 0: as many as a reply may hold
}

// Call asks the backend something that is about no channel. Payload is the command's to
// keep.
type Call struct {
	ID      ID
	Method  string // up to 255 bytes
	Payload []byte
	Kind    broker.Kind
}

// Ping asks for a Pong.
type Ping struct{ ID ID }

// Malformed stands for a frame, or a part of one, that the protocol could not
// read: the client is told, and the session lives.
type Malformed struct {
	ID     ID
	Reason string
}

func (Auth) command()        {}
func (Subscribe) command()   {}
func (Renew) command()       {}
func (Unsubscribe) command() {}
func (Publish) command()     {}
func (Presence) command()    {}
func (History) command()     {}
func (Call) command()        {}
func (Ping) command()        {}
func (Malformed) command()   {}
