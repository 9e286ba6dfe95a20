package gateway

import (
	"encoding/json"
	"time"
)

// errand is a request of one node to all nodes. The topic says what they are to do.
type errand struct {
	User    string `json:"user,omitempty"`
	Channel string `json:"channel,omitempty"`
	Match   string `json:"match,omitempty"`
	Cursor  string `json:"cursor,omitempty"`
	Session string `json:"session,omitempty"`
	Mark    string `json:"mark,omitempty"`
	Most    int    `json:"most,omitempty"`
	Payload []byte `json:"payload,omitempty"` // a checksum of the payload

	Info json.RawMessage `json:"info,omitempty"`
	Data json.RawMessage `json:"data,omitempty"`

	Unseen   bool `json:"unseen,omitempty"`
	Unaware  bool `json:"unaware,omitempty"`
	Unplaced bool `json:"unplaced,omitempty"`

	Except []string  `json:"except,omitempty"` // IDs of sessions
	Until  time.Time `json:"until,omitzero"`
}

// Topics of errands.
const (
	findSession     = "find_session"
	findSessions    = "find_sessions"
	disconnectUser  = "disconnect"
	subscribeUser   = "subscribe"
	unsubscribeUser = "unsubscribe"
	disconnectSome  = "disconnect_some" // separate topics, so that a node of an older version does not apply them to all sessions
	subscribeSome   = "subscribe_some"
	subscribeWith   = "subscribe_with"
	subscribeTerms  = "subscribe_terms"
	unsubscribeSome = "unsubscribe_some"
	expireSessions  = "expire"
	countChannels   = "count_channels"
	describeNode    = "describe_node"
	measureLoad     = "measure_load"
	forgetHistory   = "forget_history"
	refreshDenials  = "refresh_denials"
	beginTrace      = "begin_trace"
	readTrace       = "read_trace"
	endTrace        = "end_trace"
)

// Topics of messages to a single node.
const (
	sessionFrame  = "session_frame"
	noticesInLine = "notices_in_line"
	partsWord     = "parts"
)

// sayer sends one part of the result of an errand.
type sayer = func(any) error
