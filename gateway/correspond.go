package gateway

import (
	"context"
	"encoding/json"
)

// Hear passes what is told under a topic to ear. It is for transports whose requests
// may come to another node than their session is on. Call it once for a topic, before
// anybody tells something under it.
func (g *Gateway) Hear(topic string, ear Ear) { g.ears.add(topic, ear) }

// Tell sends body, as JSON, to the ear that hears a topic on a node, and returns once the
// ear has taken it: nil, or an *Error. With the code Unavailable it may have been taken or
// not. What one goroutine tells a node arrives in that order.
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
