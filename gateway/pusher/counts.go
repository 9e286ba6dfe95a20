package pusher

import (
	"context"
	"sync"
	"time"

	"tidegate/gateway"
)

// topicCounts is what the node that hears of changed counts tells all nodes: how many
// sessions are on channels.
const topicCounts = "pusher_counts"

// counter has clients told how many are on the channels of an app. One node at a time
// hears of changes, and tells all.
type counter struct {
	gateway *gateway.Gateway

	mu   sync.Mutex
	last time.Time // when nodes were told
}

const (
	countPause = 500 * time.Millisecond // in which a channel's count is told once
	manyCounts = 100                    // changes at once, to tell without a pause: more are coming
)

func newCounter(g *gateway.Gateway, a *app) gateway.Receiver {
	c := &counter{gateway: g}
	return gateway.Receiver{
		Name: "pusher-" + a.id + "-counts", Of: func(channel string) bool { return a.has(channel) && !isPresence(a.nameOf(channel)) },
		Wants: func(e gateway.HookEvent) bool { return e == gateway.OnSessionsChanged }, Tell: c.tell,
	}
}

// tell returns nil once all nodes have taken the counts.
func (c *counter) tell(ctx context.Context, notices []gateway.Notice) error {
	if err := c.pause(ctx, len(notices)); err != nil {
		return err
	}
	counts := make(map[string]int)
	for i := range notices {
		counts[notices[i].Channel] = notices[i].Sessions
	}
	nodes, err := c.gateway.Nodes(ctx)
	if err != nil {
		return err
	}
	for _, node := range nodes {
		if err := c.gateway.Tell(ctx, node.Node, topicCounts, counts); err != nil {
			return err
		}
	}
	return nil
}

func (c *counter) pause(ctx context.Context, changes int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if wait := time.Until(c.last.Add(countPause)); changes < manyCounts && wait > 0 {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	c.last = time.Now()
	return nil
}

// hearCounts tells this node's clients.
func (w *Webhooks) hearCounts(_ string, counts map[string]int) error {
	for channel, sessions := range counts {
		w.gateway.TellCount(channel, sessions)
	}
	return nil
}
