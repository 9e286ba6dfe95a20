package cluster

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"slices"
	"time"

	"tidegate/broker/lock"
)

// Ear takes what another node tells. It is called for one word at a time, in the
// order in which they came, and must not block. An error is told to the teller.
type Ear func(from string, body json.RawMessage) error

// word is what a node tells another one.
type word struct {
	ID    string          `json:"id"`
	From  string          `json:"from"`
	Topic string          `json:"topic"`
	Body  json.RawMessage `json:"body,omitempty"`
}

// receipt says that a node has taken a word, or why not.
type receipt struct {
	ID   string `json:"id"`
	Code string `json:"code,omitempty"`
	Why  string `json:"why,omitempty"`
}

const tellPatience = time.Second // for the other node to take it

// telling is the words of this node that are not confirmed.
type telling struct {
	// Guarded by mu.
	mu      lock.Mutex[lock.Words]
	waiting map[string]unconfirmed // by word.ID
}

type unconfirmed struct {
	node      string
	confirmed chan error // has room for one
}

func newTelling() *telling {
	return &telling{waiting: make(map[string]unconfirmed)}
}

// Tell tells a node something and returns once it has taken it: nil, or its
// *Failure. One with the code unavailable says that it is not known to have taken
// it. What one goroutine tells a node arrives in that order.
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

// explained returns err as a *Failure; nil stays nil.
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

// hearWord takes another node's word and confirms it.
func (c *Cluster) hearWord(w word) {
	r := receipt{ID: w.ID}
	if err := c.deliver(w); err != nil {
		why := c.config.Explain(err)
		r.Code, r.Why = why.Code, why.Text
	}
	c.post(nodeChannel(w.From), dispatch{Receipt: &r})
}

func (t *telling) begin(id, node string) <-chan error {
	t.mu.Lock()
	defer t.mu.Unlock()
	u := unconfirmed{node, make(chan error, 1)}
	t.waiting[id] = u
	return u.confirmed
}

func (t *telling) end(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.waiting, id)
}

// confirm takes a receipt. One that is too late is ignored.
func (t *telling) confirm(r receipt) {
	var err error
	if r.Code != "" {
		err = &Failure{r.Code, r.Why}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settle(r.ID, err)
}

// lost says that a node is gone: it confirms nothing any more.
func (t *telling) lost(node string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, u := range t.waiting {
		if u.node == node {
			t.settle(id, failf("the node %s is gone, and may or may not have taken it", node))
		}
	}
}

// settle is called with mu held.
func (t *telling) settle(id string, err error) {
	if u, waiting := t.waiting[id]; waiting {
		delete(t.waiting, id)
		u.confirmed <- err
	}
}
