package gateway

import (
	"encoding/json"
	"time"
)

// errand is what a node asks all nodes to do, under a topic.
type errand struct {
	User    string `json:"user,omitempty"`
	Channel string `json:"channel,omitempty"`
	Match   string `json:"match,omitempty"`
	Cursor  string `json:"cursor,omitempty"`
	Session string `json:"session,omitempty"`
	Mark    string `json:"mark,omitempty"`
	Most    int    `json:"most,omitempty"`
	Payload []byte `json:"payload,omitempty"` // a sum of it

	Info json.RawMessage `json:"info,omitempty"`
	Data json.RawMessage `json:"data,omitempty"`

	Unseen   bool `json:"unseen,omitempty"`
	Unaware  bool `json:"unaware,omitempty"`
	Unplaced bool `json:"unplaced,omitempty"`

	Except []string  `json:"except,omitempty"` // sessions
	Until  time.Time `json:"until,omitzero"`
}

// The topics of errands.
const (
	findSession     = "find_session"
	findSessions    = "find_sessions"
	disconnectUser  = "disconnect"
	subscribeUser   = "subscribe"
	unsubscribeUser = "unsubscribe"
	disconnectSome  = "disconnect_some" // topics of their own, so that a node of an older version does not do it to all sessions
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

// The topics of what is told to one node.
const (
	sessionFrame  = "session_frame"
	noticesInLine = "notices_in_line"
	partsWord     = "parts"
)

// sayer passes on a part of the result of an errand.
type sayer = func(any) error
