package gateway

import (
	"context"
	"encoding/json"
	"time"

	"tidegate/gateway/internal/cluster"
)

// errand is what a node asks all nodes to do, under a topic.
type errand struct {
	User    string `json:"user,omitempty"`
	Channel string `json:"channel,omitempty"`
	Match   string `json:"match,omitempty"`
	Cursor  string `json:"cursor,omitempty"`
	Session string `json:"session,omitempty"`
}

// The topics of errands.
const (
	findSession     = "find_session"
	findSessions    = "find_sessions"
	disconnectUser  = "disconnect"
	subscribeUser   = "subscribe"
	unsubscribeUser = "unsubscribe"
	countChannels   = "count_channels"
	describeNode    = "describe_node"
	forgetHistory   = "forget_history"
	refreshDenials  = "refresh_denials"
)

// The topics of what is told to one node.
const (
	sessionFrame  = "session_frame"
	noticesInLine = "notices_in_line"
)

// newCluster returns this node among the others.
func newCluster(g *Gateway, version string, lease time.Duration) *cluster.Cluster {
	born := time.Now()
	about := func() NodeInfo {
		return NodeInfo{Node: g.node, Version: version, Sessions: g.sessions.number(), Since: born}
	}
	return cluster.New(cluster.Config{
		Broker: g.broker, Node: g.node, Lease: lease, Log: g.log, Wall: g.wall,
		About:   func() any { return about() },
		Explain: explainToNodes,
		Lost:    g.nodeLost,

		LastWord: g.lastWord,
		Answers: map[string]cluster.Answerer{
			describeNode:    answerer(func(_ context.Context, _ errand, say sayer) error { return say(about()) }),
			findSession:     answerer(func(_ context.Context, e errand, say sayer) error { return g.findSessionHere(e.Session, say) }),
			findSessions:    answerer(func(_ context.Context, e errand, say sayer) error { return g.findSessionsHere(e.User, say) }),
			countChannels:   answerer(func(_ context.Context, e errand, say sayer) error { return g.countChannelsHere(e.Match, say) }),
			disconnectUser:  answerer(func(_ context.Context, e errand, say sayer) error { return say(g.disconnectHere(e.User)) }),
			subscribeUser:   answerer(g.subscribeHere),
			unsubscribeUser: answerer(func(_ context.Context, e errand, say sayer) error { return say(g.unsubscribeHere(e.User, e.Channel)) }),
			refreshDenials:  answerer(func(ctx context.Context, _ errand, _ sayer) error { return g.readDenials(ctx) }),
			forgetHistory:   answerer(func(_ context.Context, e errand, _ sayer) error { return g.forgetHere(e.Channel, e.Cursor) }),
		},
		Ears: map[string]cluster.Ear{sessionFrame: g.hearFrame, noticesInLine: g.hearOfNotices},
	})
}

func explainToNodes(err error) *cluster.Failure {
	e := ErrorOf(err)
	return &cluster.Failure{Code: string(e.Code), Text: e.Message}
}

// sayer tells a part of what came of an errand.
type sayer = func(any) error

// answerer reads the errand that do needs.
func answerer(do func(ctx context.Context, e errand, say sayer) error) cluster.Answerer {
	return func(ctx context.Context, body json.RawMessage, say sayer) error {
		var e errand
		if err := json.Unmarshal(body, &e); err != nil {
			return failf(BadRequest, "%v", err)
		}
		return do(ctx, e, say)
	}
}

// askAll has an errand done on every node that is alive, and tells add what each
// says, one call at a time. An error, an *Error, says that
// not all of it was done.
func askAll[T any](ctx context.Context, g *Gateway, topic string, e errand, add func(T)) error {
	if err := g.cluster.AskAll(ctx, topic, e, decoded(g, topic, add)); err != nil {
		return ErrorOf(err)
	}
	return nil
}

// decoded reads what a node says. What another version says in another way is
// left out.
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
