package gateway

import (
	"context"
	"fmt"
	"strings"
	"time"

	"tidegate/broker"
)

// Publish publishes one message on behalf of p and returns its position, which is
// zero without history.
func (g *Gateway) Publish(ctx context.Context, p *Principal, c Publish) (broker.Position, error) {
	return g.publish(ctx, p, nil, c)
}

func (g *Gateway) publish(ctx context.Context, p *Principal, s *Session, c Publish) (broker.Position, error) {
	began := time.Now()
	position, err := g.tryPublish(ctx, p, s, c, began)
	result := "ok"
	if err != nil {
		result = string(ErrorOf(err).Code)
	}
	g.metrics.Messages.Publish(result).Observe(time.Since(began).Seconds())
	return position, err
}

func (g *Gateway) tryPublish(ctx context.Context, p *Principal, s *Session, c Publish, now time.Time) (broker.Position, error) {
	if err := g.Authorize(p, ToPublish, c.Channel); err != nil {
		return broker.Position{}, err
	}
	if err := g.checkPublish(c); err != nil {
		return broker.Position{}, err
	}
	if err := g.askPublish(ctx, p, s, &c); err != nil {
		return broker.Position{}, err
	}
	if err := g.checkPublish(c); err != nil { // what the backend made of it
		return broker.Position{}, err
	}
	position, err := g.broker.Publish(ctx, broker.Message{
		Channel: c.Channel, Payload: c.Payload, Kind: c.Kind, Event: c.Event, Key: c.Key,
		User: p.User, Session: s.name(), Time: now.Truncate(time.Millisecond),
	}, g.publishOptions(c.Channel))
	if err != nil {
		return broker.Position{}, fmt.Errorf("publish to %q: %w", c.Channel, err)
	}
	return position, nil
}

const (
	maxKey   = 255
	maxEvent = 255
)

func (g *Gateway) checkPublish(c Publish) error {
	switch most := g.limits.MessageBytes; {
	case most > 0 && len(c.Payload) > most:
		return failf(TooLarge, "the message has %d bytes: limits.message_bytes allows %d", len(c.Payload), most)
	case len(c.Key) > maxKey:
		return failf(BadRequest, "the key has %d bytes: at most %d are allowed", len(c.Key), maxKey)
	case len(c.Event) > maxEvent:
		return failf(BadRequest, "the event's name has %d bytes: at most %d are allowed", len(c.Event), maxEvent)
	case strings.ContainsAny(c.Event, "\r\n\x00"):
		return failf(BadRequest, "the event's name has a line break in it")
	}
	return nil
}

func (g *Gateway) publishOptions(channel string) broker.PublishOptions {
	o := g.rule(channel).publishOptions()
	if g.history == nil {
		o.HistorySize, o.HistoryTTL = 0, 0
	}
	return o
}
