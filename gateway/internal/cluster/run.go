package cluster

import (
	"context"
	"encoding/json"
	"sync"
	"time"
)

// Run takes part in the cluster until ctx ends; then it says bye. The broker must
// run until it has returned.
func (c *Cluster) Run(ctx context.Context) {
	if !c.join(ctx) {
		return
	}
	var parts sync.WaitGroup
	parts.Go(func() { c.listen(ctx) })
	parts.Go(func() { c.announce(ctx) })
	for range answerers {
		parts.Go(func() { c.answerOthers(ctx) })
	}
	parts.Wait()

	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(byePatience, time.Until(c.config.LastWord())))
	defer cancel()
	_ = c.send(last, nodesChannel, dispatch{Bye: &bye{Node: c.config.Node}}) // or it is dead after its lease
}

// join subscribes to the reserved channels, trying until it can.
func (c *Cluster) join(ctx context.Context) bool {
	for _, channel := range []string{nodeChannel(c.config.Node), nodesChannel} {
		for c.config.Broker.Subscribe(ctx, channel) != nil {
			select {
			case <-ctx.Done():
				return false
			case <-c.missed: // the broker is there
			case <-time.After(joinRetry):
			}
		}
	}
	c.joinedAt = time.Now()
	close(c.joined)
	return true
}

// announce says hello.
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
			_ = c.send(ctx, nodeChannel(node), dispatch{Hello: c.hello()}) // hellos repeat themselves
		}
	}
}

func (c *Cluster) greetAll(ctx context.Context, asks bool) {
	h := c.hello()
	h.Asks = asks
	c.unheard.Store(true)
	_ = c.send(ctx, nodesChannel, dispatch{Hello: h}) // the same
}

func (c *Cluster) hello() *hello {
	h := &hello{Node: c.config.Node, LeaseMS: c.config.Lease.Milliseconds()}
	if c.config.About != nil {
		h.About, _ = json.Marshal(c.config.About()) // without it a node is alive all the same
	}
	return h
}

// listen reads the inbox, and declares nodes dead.
func (c *Cluster) listen(ctx context.Context) {
	death := time.NewTimer(c.config.Lease)
	defer death.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case payload := <-c.inbox:
			c.config.Wall.Do("read what another node says", func() { c.read(payload) })
			c.unread.give(len(payload))
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
	return max(time.Until(next), c.config.Lease/100) // while the link is down it stays due
}

// buryDead forgets the nodes whose lease has ended; but while this node cannot
// hear anybody, or if it has been stopped itself, silence says nothing.
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
		if c.config.Died != nil {
			c.config.Died()
		}
		c.lost(node)
	}
}

func (c *Cluster) read(payload []byte) {
	var d dispatch
	if err := json.Unmarshal(payload, &d); err != nil {
		c.config.Log.Warn("another node is not understood", "error", err)
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
	case d.Word != nil:
		c.hearWord(*d.Word)
	case d.Receipt != nil:
		c.telling.confirm(*d.Receipt)
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
		default: // it hears of this node within a third of a lease
		}
	}
}

func (c *Cluster) part(node string) {
	if c.directory.forget(node) {
		c.config.Log.Info("a node has left", "left", node)
		c.lost(node)
	}
}

// lost tells who must know that a node is alive no more.
func (c *Cluster) lost(node string) {
	c.asking.lost(node)
	c.telling.lost(node)
	if c.config.Lost != nil {
		c.config.Lost(node)
	}
}
