package gateway

import (
	"context"
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

// askAll has an errand done on every node that is alive, and tells add what each
// says, one call at a time. Long answers take up room that the node has for its clients,
// until ctx ends. An error is an *Error, and says that not all of it was done.
func askAll[T any](ctx context.Context, g *Gateway, topic string, e errand, add func(T)) error {
	if err := g.cluster.AskAll(ctx, topic, e, g.holding(ctx, decoded(g, topic, add))); err != nil {
		return ErrorOf(err)
	}
	return nil
}

const shortAnswer = 1 << 10 // a node says no more than one of these

// holding takes room for long answers before they are added.
func (g *Gateway) holding(ctx context.Context, add func(json.RawMessage)) func(json.RawMessage) error {
	return func(body json.RawMessage) error {
		if len(body) > shortAnswer {
			payer := g.Budget.backends // nobody else asks for what has long answers
			if err := g.Budget.Hold(payer, len(body)); err != nil {
				return err
			}
			context.AfterFunc(ctx, func() { g.Budget.LetGo(payer, len(body)) })
		}
		add(body)
		return nil
	}
}

// decoded reads what a node says. An answer that cannot be read, since a node of another
// version gave it, is left out.
func decoded[T any](g *Gateway, topic string, add func(T)) func(json.RawMessage) {
	return func(body json.RawMessage) {
		var said T
		if err := json.Unmarshal(body, &said); err != nil {
			g.log.Warn("another node is not understood", "topic", topic, "error", err)
			return
		}
		add(said)
	}
}
