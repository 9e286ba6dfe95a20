package pusher

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"tidegate/gateway"
)

// counter has clients told how many are on the channels of an app. One node at a time
// hears of changes, and tells all, beside each other. While one does not answer the
// others are told no more than what has changed since; it is told all that it has
// missed, or is not alive any more when its lease is over.
type counter struct {
	// Fixed at birth.
	nodes func(context.Context) ([]gateway.NodeInfo, error)
	send  func(ctx context.Context, node string, counts map[string]int) error

	// Guarded by mu. One call of tell has it at a time.
	mu   sync.Mutex
	last time.Time                 // when nodes were told
	told map[string]map[string]int // by node and channel, of what is told again since a node has not heard it
}

const (
	countPause = 500 * time.Millisecond // in which a channel's count is told once
	manyCounts = 100                    // changes at once, to tell without a pause: more are coming
	toldLasts  = 5 * time.Second        // after which another node may have told something else
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

// tell returns nil once all nodes have taken the counts.
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

// tellNode tells a node what it has not been told yet, and notes it in told.
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

// toldTo is called with c.mu held, as is pause.
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
