package main

import (
	"context"
	"crypto/rand"
	"strings"
	"time"

	"tidegate/cmd/tidegate/internal/tracing"
	"tidegate/gateway"
)

const lastTraces = 2 * time.Second // to send the remaining spans when the node ends

// trace sets up tracing, if it is configured, and sets n.tracer.
func (n *node) trace(core *gateway.Config) (err error) {
	c := n.config.Tracing
	if !c.Enabled {
		return nil
	}
	core.Node = strings.ToLower(rand.Text()[:16]) // needed before the gateway is created
	n.tracer, err = tracing.New(tracing.Config{Endpoint: c.Endpoint, Ratio: c.Ratio, Node: core.Node, Version: core.Version, Log: n.log})
	core.Tracer = n.tracer
	return err
}

// endTraces sends the remaining spans.
func (n *node) endTraces() {
	ctx, cancel := context.WithTimeout(context.Background(), lastTraces)
	defer cancel()
	if err := n.tracer.Close(ctx); err != nil {
		n.log.Warn("the last traces were lost", "error", err)
	}
}
