package cluster

import (
	"context"
	"crypto/rand"
	"encoding/json"
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
	q := question{ID: rand.Text(), From: c.config.Node, Topic: topic, Body: encoded}
	if node == c.config.Node {
		if err := c.hear(&q); err != nil {
			return c.config.Explain(err)
		}
		return nil
	}
	if !c.directory.has(node) {
		return failf("the node %s is not alive", node)
	}
	if !c.asking.told.take(len(encoded)) {
		return failf("this node tells the others as much as it can: try again")
	}
	defer c.asking.told.give(len(encoded))
	taken := false
	g := c.asking.begin(q.ID, []string{node}, func(json.RawMessage) error { taken = true; return nil })
	defer c.asking.end(q.ID, g)
	ctx, cancel := context.WithTimeout(ctx, tellPatience)
	defer cancel()
	if c.send(ctx, nodeChannel(node), dispatch{Question: &q}) != nil {
		return failf("the broker did not confirm that the node %s was told: it may or may not have been", node)
	}
	silent, err := g.wait(ctx)
	switch {
	case err != nil || taken:
		return err
	case len(silent) > 0:
		return failf("no answer in time from %s, which may or may not have taken it", node)
	}
	return failf("the node %s is gone, and may or may not have taken it", node)
}

// hear gives an Ear what it is told.
func (c *Cluster) hear(q *question) error {
	ear, heard := c.ears.Load(q.Topic)
	if !heard {
		return failf("the node %s has another version and does not listen to %s", c.config.Node, q.Topic)
	}
	return ear.(Ear)(q.From, q.Body)
}

// hearOther gives an Ear what another node tells it, and answers.
func (c *Cluster) hearOther(q *question) {
	a := answer{ID: q.ID, Node: c.config.Node, Done: true, Body: json.RawMessage("{}")}
	if err := c.hear(q); err != nil {
		why := c.config.Explain(err)
		a.Code, a.Why, a.Body = why.Code, why.Text, nil
	}
	c.post(nodeChannel(q.From), dispatch{Answer: &a})
}
