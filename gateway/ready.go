package gateway

import (
	"errors"
	"fmt"
)

// ErrBrokerAway says that a node is not ready because it cannot reach the broker. The error
// that wraps it has details for operators: addresses and answers of Redis.
var ErrBrokerAway = errors.New("the broker is away")

// Ready returns nil if the node can take traffic, else the reason why not.
func (g *Gateway) Ready() error {
	if g.drain.begun.Load() {
		return errors.New("draining")
	}
	if err := *g.link.Load(); err != nil {
		return fmt.Errorf("%w: %w", ErrBrokerAway, err)
	}
	if err := g.Denials.known(); err != nil {
		return err
	}
	return g.Nodes.cluster.Joined()
}

// readiness returns 1 if the node is ready, else 0.
func (g *Gateway) readiness() float64 {
	if g.Ready() != nil {
		return 0
	}
	return 1
}
