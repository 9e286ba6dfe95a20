package gateway

import (
	"context"
	"encoding/json"
	"time"

	"tidegate/gateway/internal/cluster"
)

// newCluster returns this node among the others.
func newCluster(g *Gateway, c *Config) *cluster.Cluster {
	born := time.Now()
	g.about = func() NodeInfo {
		return NodeInfo{Node: g.node, Host: c.Host, Version: c.Version, Sessions: g.sessions.number(), Since: born}
	}
	return cluster.New(cluster.Config{
		Broker: g.broker, Node: g.node, Lease: g.lease, Log: g.log, Wall: g.wall,
		About:   func() any { return g.about() },
		Explain: explainToNodes,
		Lost:    g.nodeLost,
		Died:    g.metrics.Died.Inc,

		LastWord: g.drain.lastWord,
		Answers: map[string]cluster.Answerer{
			describeNode:    answerer(func(_ context.Context, _ errand, say sayer) error { return say(g.about()) }),
			measureLoad:     answerer(func(_ context.Context, e errand, say sayer) error { return say(g.loadHere(e.Most)) }),
			findSession:     answerer(func(_ context.Context, e errand, say sayer) error { return g.findSessionHere(e.Session, say) }),
			findSessions:    answerer(func(_ context.Context, e errand, say sayer) error { return g.findSessionsHere(e.User, say) }),
			countChannels:   answerer(func(_ context.Context, e errand, say sayer) error { return g.countChannelsHere(e.Match, say) }),
			disconnectUser:  answerer(func(_ context.Context, e errand, say sayer) error { return say(g.disconnectHere(e)) }),
			subscribeUser:   answerer(g.subscribeHere),
			unsubscribeUser: answerer(func(_ context.Context, e errand, say sayer) error { return say(g.unsubscribeHere(e)) }),
			disconnectSome:  answerer(func(_ context.Context, e errand, say sayer) error { return say(g.disconnectHere(e)) }),
			subscribeSome:   answerer(g.subscribeHere),
			subscribeWith:   answerer(g.subscribeHere),
			subscribeTerms:  answerer(g.subscribeHere),
			unsubscribeSome: answerer(func(_ context.Context, e errand, say sayer) error { return say(g.unsubscribeHere(e)) }),
			expireSessions:  answerer(func(_ context.Context, e errand, say sayer) error { return say(g.expireHere(e)) }),
			refreshDenials:  answerer(func(ctx context.Context, _ errand, _ sayer) error { return g.readDenials(ctx) }),
			beginTrace:      answerer(func(_ context.Context, e errand, _ sayer) error { return g.beginTraceHere(e) }),
			readTrace:       answerer(func(_ context.Context, e errand, say sayer) error { return say(g.traceHere(e)) }),
			endTrace:        answerer(func(_ context.Context, e errand, _ sayer) error { g.hub.EndTrace(e.Mark); return nil }),
			forgetHistory:   answerer(func(_ context.Context, e errand, _ sayer) error { return g.forgetHere(e.Channel, e.Cursor) }),
		},
		Ears: map[string]cluster.Ear{sessionFrame: g.hearFrame, noticesInLine: g.hearOfNotices, partsWord: g.ears.hear},
	})
}

func explainToNodes(err error) *cluster.Failure {
	e := ErrorOf(err)
	return &cluster.Failure{Code: string(e.Code), Text: e.Message}
}

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
