package gateway

import (
	"context"
	"encoding/json"
	"time"

	"tidegate/gateway/internal/cluster"
)

// newCluster returns the Cluster that connects this node to the others.
func newCluster(g *Gateway, c *Config) *cluster.Cluster {
	born := time.Now().UnixMilli()
	about := func() NodeInfo {
		return NodeInfo{Node: g.node, Host: c.Host, Version: c.Version, Sessions: g.sessions.number(), Since: born}
	}
	meter := &meter{about: about, ready: g.Ready, hub: g.hub, metrics: g.metrics, sessions: g.sessions}
	reached := func(do func(*Session, errand) bool) cluster.Answerer {
		return answerer(func(_ context.Context, e errand, say sayer) error { return say(g.sessions.reach(e, do)) })
	}
	others := cluster.New(cluster.Config{
		Broker: g.broker, Node: g.node, Lease: g.lease, Log: g.log, Wall: g.wall,
		About: func() any { return about() },
		Explain: func(err error) *cluster.Failure {
			e := ErrorOf(err)
			return &cluster.Failure{Code: string(e.Code), Text: e.Message}
		},
		Lost: g.nodeLost,
		Died: g.metrics.Died.Inc,

		LastWord:  g.drain.lastWord,
		ByClients: []string{findSession},
		Answers: map[string]cluster.Answerer{
			describeNode:    answerer(func(_ context.Context, _ errand, say sayer) error { return say(about()) }),
			measureLoad:     answerer(func(_ context.Context, e errand, say sayer) error { return say(meter.read(e.Most)) }),
			findSession:     answerer(func(_ context.Context, e errand, say sayer) error { return g.sessions.find(e.Session, say) }),
			findSessions:    answerer(func(_ context.Context, e errand, say sayer) error { return g.sessions.describe(e.User, say) }),
			countChannels:   answerer(func(_ context.Context, e errand, say sayer) error { return countHere(g.hub, e.Match, say) }),
			disconnectUser:  reached(func(s *Session, _ errand) bool { s.Close(Disconnected); return true }),
			subscribeUser:   answerer(g.sessions.subscribe),
			unsubscribeUser: reached(func(s *Session, e errand) bool { return s.loseChannel(e.Channel) }),
			expireSessions:  reached(func(s *Session, e errand) bool { s.expireAt(e.Until); return true }),
			refreshDenials:  answerer(func(ctx context.Context, _ errand, _ sayer) error { return g.Denials.renew(ctx) }),
			beginTrace:      answerer(func(_ context.Context, e errand, _ sayer) error { return g.beginTraceHere(e) }),
			readTrace:       answerer(func(_ context.Context, e errand, say sayer) error { return say(g.traceHere(e)) }),
			endTrace:        answerer(func(_ context.Context, e errand, _ sayer) error { g.hub.EndTrace(e.Mark); return nil }),
			forgetHistory:   answerer(func(_ context.Context, e errand, _ sayer) error { return g.forgetHere(e.Channel, e.Cursor) }),
		},
	})
	others.Hear(sessionFrame, g.sessions.hearFrame)
	others.Hear(noticesInLine, g.hearOfNotices)
	return others
}

// answerer decodes the errand and calls do.
func answerer(do func(ctx context.Context, e errand, say sayer) error) cluster.Answerer {
	return func(ctx context.Context, body json.RawMessage, say sayer) error {
		var e errand
		if err := json.Unmarshal(body, &e); err != nil {
			return failf(BadRequest, "%v", err)
		}
		return do(ctx, e, say)
	}
}
