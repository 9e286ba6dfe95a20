package gateway

import (
	"errors"
	"fmt"
)

// ErrBrokerAway is why a node is not ready whose link to the broker is down. What it is
// wrapped in says more, for operators: addresses, and what Redis has answered.
var ErrBrokerAway = errors.New("the broker is away")

// Ready returns nil if the node is fit to take traffic, else why not.
func (g *Gateway) Ready() error {
	if g.drain.begun.Load() {
		return errors.New("draining")
	}
	if err := g.link.Load().err; err != nil {
		return fmt.Errorf("%w: %w", ErrBrokerAway, err)
	}
	if err := g.Denials.known(); err != nil {
		return err
	}
	return g.Nodes.cluster.Joined()
}

// readiness is Ready as a number: 1 or 0.
func (g *Gateway) readiness() float64 {
	if g.Ready() != nil {
		return 0
	}
	return 1
}
