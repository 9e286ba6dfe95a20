package pusher

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/internal/pause"
)

// counter tells clients how many subscriptions the channels of an app have. One node at a
// time receives the changes and sends them to all nodes in parallel. If a node does not
// answer, the counter retries until the node has all changes or its lease has expired. The
// other nodes meanwhile receive only what is new.
type counter struct {
	// Immutable.
	nodes func(context.Context) ([]gateway.NodeInfo, error)
	send  func(ctx context.Context, node string, counts map[string]int) error

	// Guarded by mu, which tell holds throughout.
	mu   sync.Mutex
	last time.Time                 // when counts were last sent
	told map[string]map[string]int // by node and channel: counts not to send again
}

const (
	countPause = 500 * time.Millisecond // minimum time between two counts of a channel
	manyCounts = 100                    // from this many changes on there is no pause
	toldLasts  = 5 * time.Second        // then another node may have sent newer counts
)

func newCounter(g *gateway.Gateway, a *app) gateway.Receiver {
	c := &counter{nodes: g.Nodes.List, send: func(ctx context.Context, node string, counts map[string]int) error {
		return g.Nodes.Tell(ctx, node, topicCounts, counts)
	}}
	return gateway.Receiver{
		Name: "pusher-" + a.id + "-counts", Of: func(channel string) bool { return a.has(channel) && !isPresence(a.nameOf(channel)) },
		Wants: func(e gateway.HookEvent) bool { return e == gateway.OnSessionsChanged }, Tell: c.tell,
	}
}

// tell sends the counts in notices. It returns nil once all nodes have received them.
func (c *counter) tell(ctx context.Context, notices []gateway.Notice) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.pause(ctx, len(notices)); err != nil {
		return err
	}
	nodes, err := c.nodes(ctx)
	if err != nil {
		return err
	}
	failures := make([]error, len(nodes))
	var telling sync.WaitGroup
	for i, n := range nodes {
		told := c.toldTo(n.Node)
		telling.Go(func() { failures[i] = c.tellNode(ctx, n.Node, told, notices) })
	}
	telling.Wait()
	if err := errors.Join(failures...); err != nil {
		return err
	}
	c.told = nil
	return nil
}

// tellNode sends a node the counts that differ from told, and records them there.
func (c *counter) tellNode(ctx context.Context, node string, told map[string]int, notices []gateway.Notice) error {
	counts := make(map[string]int)
	for i := range notices {
		counts[notices[i].Channel] = notices[i].Sessions
	}
	maps.DeleteFunc(counts, func(channel string, count int) bool {
		was, known := told[channel]
		return known && was == count
	})
	if len(counts) == 0 {
		return nil
	}
	err := c.send(ctx, node, counts)
	if err == nil {
		maps.Copy(told, counts)
	}
	return err
}

// toldTo returns the counts that a node has received. The caller must hold c.mu, as for
// pause.
func (c *counter) toldTo(node string) map[string]int {
	if c.told == nil {
		c.told = make(map[string]map[string]int)
	}
	if c.told[node] == nil {
		c.told[node] = make(map[string]int)
	}
	return c.told[node]
}

func (c *counter) pause(ctx context.Context, changes int) error {
	if time.Since(c.last) > toldLasts {
		c.told = nil
	}
	if changes < manyCounts && !pause.Until(ctx, c.last.Add(countPause)) {
		return ctx.Err()
	}
	c.last = time.Now()
	return nil
}
