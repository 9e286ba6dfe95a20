package gateway

import "errors"

// Ready returns nil if the node is fit to take traffic, else why not.
func (g *Gateway) Ready() error {
	if g.draining.Load() {
		return errors.New("draining")
	}
	if err := g.link.Load().err; err != nil {
		return err
	}
	if err := g.denialsKnown(); err != nil {
		return err
	}
	return g.cluster.Joined()
}

// readiness is Ready as a number: 1 or 0.
func (g *Gateway) readiness() float64 {
	if g.Ready() != nil {
		return 0
	}
	return 1
}

// denialsKnown returns nil once this node knows what is forbidden.
func (g *Gateway) denialsKnown() error {
	if g.denying.register == nil {
		return nil
	}
	select {
	case <-g.denying.known:
		return nil
	default:
		return errors.New("it is not known yet who is banned")
	}
}
