package cluster

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"tidegate/gateway/internal/pause"
)

// Run takes part in the cluster until ctx ends, then says bye. The broker must keep running
// until Run returns.
func (c *Cluster) Run(ctx context.Context) {
	if !c.join(ctx) {
		return
	}
	var parts sync.WaitGroup
	parts.Go(func() { c.listen(ctx) })
	parts.Go(func() { c.announce(ctx) })
	for range answerers {
		parts.Go(func() { c.answerOthers(ctx, c.asking.others) })
		parts.Go(func() { c.answerOthers(ctx, c.asking.byClients) })
	}
	parts.Wait()

	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(byePatience, time.Until(c.config.LastWord())))
	defer cancel()
	_ = c.send(last, nodesChannel, dispatch{Bye: &bye{Node: c.config.Node}}) // if it fails, the others notice when the lease ends
}

// join subscribes to the reserved channels and retries until it succeeds. It returns false
// if ctx has ended.
func (c *Cluster) join(ctx context.Context) bool {
	for _, channel := range []string{nodeChannel(c.config.Node), nodesChannel} {
		for c.config.Broker.Subscribe(ctx, channel) != nil {
			_ = pause.Await(ctx, c.missed, joinRetry) // or until the broker is back
			if ctx.Err() != nil {
				return false
			}
		}
	}
	c.joinedAt = time.Now()
	close(c.joined)
	return true
}

// announce says hello until ctx ends.
func (c *Cluster) announce(ctx context.Context) {
	tick := time.NewTicker(c.config.Lease / 3)
	defer tick.Stop()
	c.greetAll(ctx, true)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.greetAll(ctx, false)
		case <-c.missed:
			c.greetAll(ctx, true)
		case node := <-c.greet:
			_ = c.send(ctx, nodeChannel(node), dispatch{Hello: c.hello()}) // if it fails, the next hello makes up for it
		}
	}
}

func (c *Cluster) greetAll(ctx context.Context, asks bool) {
	h := c.hello()
	h.Asks = asks
	c.unheard.Store(true)
	_ = c.send(ctx, nodesChannel, dispatch{Hello: h}) // likewise
}

func (c *Cluster) hello() *hello {
	about, _ := json.Marshal(c.config.About()) // a hello without About is good enough
	return &hello{Node: c.config.Node, LeaseMS: c.config.Lease.Milliseconds(), About: about}
}

// listen handles the messages in the inbox and declares silent nodes dead.
func (c *Cluster) listen(ctx context.Context) {
	death := time.NewTimer(c.config.Lease)
	defer death.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case payload := <-c.inbox.waiting:
			c.config.Wall.Do("read what another node says", func() { c.read(payload) })
			c.inbox.room.give(len(payload))
		case <-death.C:
			c.buryDead(time.Now())
		}
		death.Reset(c.untilNextDeath())
	}
}

func (c *Cluster) untilNextDeath() time.Duration {
	next := c.directory.nextEnd()
	if next.IsZero() {
		return c.config.Lease
	}
	return max(time.Until(next), c.config.Lease/100) // while the link is down, the end stays due
}

// buryDead removes the nodes whose lease has ended. It does nothing while this node hears
// nobody, or if this node itself was suspended, because then silence proves nothing.
func (c *Cluster) buryDead(now time.Time) {
	if c.deaf.Load() || c.unheard.Load() {
		return
	}
	if end := c.directory.nextEnd(); !end.IsZero() && now.Sub(end) > c.config.Lease/3 {
		c.Missed()
		return
	}
	for _, node := range c.directory.expire(now) {
		c.config.Log.Warn("a node is dead: it has not been heard of for its lease", "dead", node)
		c.config.Died()
		c.lost(node)
	}
}

func (c *Cluster) read(payload []byte) {
	var d dispatch
	if err := json.Unmarshal(payload, &d); err != nil {
		c.strange.Do(func() { c.config.Log.Warn("another node is not understood", "error", err) })
		return
	}
	switch {
	case d.Hello != nil:
		c.meet(*d.Hello)
	case d.Bye != nil:
		c.part(d.Bye.Node)
	case d.Question != nil:
		c.take(*d.Question)
	case d.Answer != nil:
		c.asking.hear(*d.Answer)
	}
}

func (c *Cluster) meet(h hello) {
	if h.Node == c.config.Node {
		c.unheard.Store(false)
		return
	}
	if h.Node == "" || h.LeaseMS <= 0 || len(h.Node)+len(h.About) > nodeBytes {
		return
	}
	if c.directory.hear(h, time.Now()) {
		c.config.Log.Info("a node is there", "new", h.Node)
	}
	if h.Asks {
		select {
		case c.greet <- h.Node:
		default: // the node will hear of this one within a third of a lease
		}
	}
}

func (c *Cluster) part(node string) {
	if c.directory.forget(node) {
		c.config.Log.Info("a node has left", "left", node)
		c.lost(node)
	}
}

// lost reports that a node is no longer alive.
func (c *Cluster) lost(node string) {
	c.asking.lost(node)
	c.config.Lost(node)
}
