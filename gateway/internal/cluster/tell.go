package cluster

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"slices"
)

// Tell sends something to one node and waits for the node to handle it. It returns nil or a
// *Failure. A Failure with the code unavailable means that it is not known whether the node
// has handled it, or that there was no room to send it. Calls from one goroutine to the
// same node arrive in order.
func (c *Cluster) Tell(ctx context.Context, node, topic string, body any) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return failf("tell of %s: %v", topic, err)
	}
	if node == c.config.Node {
		return c.explained(c.deliver(word{From: node, Topic: topic, Body: encoded}))
	}
	if !slices.Contains(c.Alive(), node) {
		return failf("the node %s is not alive", node)
	}
	if !c.telling.told.take(len(encoded)) {
		return failf("this node tells the others as much as it can: try again")
	}
	defer c.telling.told.give(len(encoded))
	w := word{ID: rand.Text(), From: c.config.Node, Topic: topic, Body: encoded}
	confirmed := c.telling.begin(w.ID, node)
	defer c.telling.end(w.ID)
	ctx, cancel := context.WithTimeout(ctx, tellPatience)
	defer cancel()
	if c.send(ctx, nodeChannel(node), dispatch{Word: &w}) != nil {
		return failf("the broker did not confirm that the node %s was told: it may or may not have been", node)
	}
	select {
	case err := <-confirmed:
		return err
	case <-ctx.Done():
		return failf("no answer in time from %s, which may or may not have taken it", node)
	}
}

// explained returns err as a *Failure, or nil if err is nil.
func (c *Cluster) explained(err error) error {
	if err == nil {
		return nil
	}
	return c.config.Explain(err)
}

func (c *Cluster) deliver(w word) error {
	hear := c.config.Ears[w.Topic]
	if hear == nil {
		return failf("the node %s has another version and does not listen to %s", c.config.Node, w.Topic)
	}
	return hear(w.From, w.Body)
}

// hearWord handles a word of another node and sends the receipt.
func (c *Cluster) hearWord(w word) {
	r := receipt{ID: w.ID}
	if err := c.deliver(w); err != nil {
		why := c.config.Explain(err)
		r.Code, r.Why = why.Code, why.Text
	}
	c.post(nodeChannel(w.From), dispatch{Receipt: &r})
}
