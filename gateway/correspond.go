package gateway

import (
	"context"
	"encoding/json"
	"sync"
)

// Ear takes what a part of another node tells, or of this one: one word at a time, in
// the order in which they came. It must not block. An error is told to the teller.
type Ear func(from string, body json.RawMessage) error

// Hear has what is told under a topic go to ear. It is for transports whose requests
// may come to another node than their session is on. Call it once for a topic, before
// anybody tells something under it.
func (g *Gateway) Hear(topic string, ear Ear) { g.ears.add(topic, ear) }

// Tell tells who hears a topic on a node something, which becomes JSON, and returns
// once that has taken it: nil, or an *Error. With the code Unavailable it may or may
// not have. What one goroutine tells a node arrives in that order.
func (g *Gateway) Tell(ctx context.Context, node, topic string, body any) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return failf(BadRequest, "%v", err)
	}
	if err := g.cluster.Tell(ctx, node, partsWord, partWord{topic, encoded}); err != nil {
		return ErrorOf(err)
	}
	return nil
}

// partWord is what parts of nodes tell each other.
type partWord struct {
	Topic string          `json:"topic"`
	Body  json.RawMessage `json:"body"`
}

// ears are by topic. All methods may be called concurrently.
type ears struct{ by sync.Map }

func (e *ears) add(topic string, ear Ear) { e.by.Store(topic, ear) }

func (e *ears) hear(from string, body json.RawMessage) error {
	var w partWord
	if err := json.Unmarshal(body, &w); err != nil {
		return failf(BadRequest, "%v", err)
	}
	ear, known := e.by.Load(w.Topic)
	if !known {
		return failf(NotFound, "nobody listens to %q here", w.Topic)
	}
	return ear.(Ear)(from, w.Body)
}
