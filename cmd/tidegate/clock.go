package main

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
)

const clockChannel = "clock"

// clock publishes the time once a second on the channel "clock" while this node is subscribed
// to it, as an example for development. It wraps the gateway's broker to see the subscriptions.
type clock struct {
	broker.Broker
	wanted atomic.Bool
}

func (c *clock) Subscribe(ctx context.Context, channels ...string) error {
	err := c.Broker.Subscribe(ctx, channels...)
	if slices.Contains(channels, clockChannel) && broker.WhyNot(err, clockChannel) == nil {
		c.wanted.Store(true)
	}
	return err
}

func (c *clock) Unsubscribe(ctx context.Context, channel string) error {
	if channel == clockChannel {
		c.wanted.Store(false)
	}
	return c.Broker.Unsubscribe(ctx, channel)
}

// run publishes until ctx ends.
func (c *clock) run(ctx context.Context, g *gateway.Gateway) error {
	for {
		now := time.Now()
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(now.Truncate(time.Second).Add(time.Second).Sub(now)):
		}
		if c.wanted.Load() {
			publishTime(ctx, g, time.Now())
		}
	}
}

// publishTime publishes the time. The idempotency key makes it happen once even if several
// nodes do it. It ignores errors: the next publish follows in a second, and the gateway
// logs that the broker is away.
func publishTime(ctx context.Context, g *gateway.Gateway, now time.Time) {
	text := now.UTC().Format(time.RFC3339)
	_, _ = g.Publish(ctx, &gateway.Principal{}, gateway.Publish{
		Channel: clockChannel,
		Payload: fmt.Appendf(nil, `{"time":%q}`, text),
		Kind:    broker.JSON,
		Key:     "clock " + text,
	})
}
