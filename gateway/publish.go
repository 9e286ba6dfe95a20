package gateway

import (
	"context"
	"fmt"
	"strings"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/rates"
	"tidegate/gateway/rules"
)

// Publish publishes one message on behalf of p and returns its position, which is zero
// without history. It waits for the broker's answer, or until ctx ends.
func (g *Gateway) Publish(ctx context.Context, p *Principal, c Publish) (broker.Position, error) {
	began, answered := time.Now(), make(chan Outcome, 1)
	g.publish(ctx, p, nil, c, began, func(position broker.Position, err error) {
		g.notePublish(began, err)
		answered <- Outcome{position, err}
	})
	g.line.Help()
	select {
	case a := <-answered:
		return a.Position, a.Err
	case <-ctx.Done():
		return broker.Position{}, fmt.Errorf("publish to %q: %w: %w", c.Channel, broker.ErrUnavailable, ctx.Err())
	}
}

// publish publishes one message on behalf of p, whose session is s, or nil. It waits for the
// backend if that is asked, but not for the broker. It calls done with the outcome, as
// Broker.Publish does; done must call notePublish. A caller that has no more to publish for
// now must have the parked frames written.
func (g *Gateway) publish(ctx context.Context, p *Principal, s *Session, c Publish, began time.Time, done func(broker.Position, error)) {
	trace := ""
	if g.tracer != nil {
		trace, done = g.tracePublish(p, &c, done)
	}
	rule := g.rule(c.Channel)
	if err := g.admitPublish(ctx, p, s, &c, rule); err != nil {
		done(broker.Position{}, err)
		return
	}
	from := c.mark
	if from == "" && s != nil {
		from = s.id
	}
	m := broker.Message{
		Channel: c.Channel, Payload: c.Payload, Kind: c.Kind, Event: c.Event, Key: p.spaced(c.Key),
		User: p.User, Session: from, Except: c.Except, Tags: c.Tags, Time: began.Truncate(time.Millisecond),
		Trace: trace, Transient: c.Transient,
	}
	if p.Info != nil && rule.Presence { // publish no more about the publisher than subscribers see in presence
		m.Info, m.Elsewhere = p.Info, p.Elsewhere
	}
	if !p.Backend() && g.notices.want(OnPublished, c.Channel) {
		done = g.notices.postPublished(m, done)
	}
	g.broker.Publish(m, g.publishOptions(&c, rule), done)
}

// notePublish counts a publish that has been answered.
func (g *Gateway) notePublish(began time.Time, err error) {
	result := "ok"
	if err != nil {
		result = string(ErrorOf(err).Code)
	}
	g.metrics.Messages.Publish(result).Observe(time.Since(began).Seconds())
}

// admitPublish returns nil if c may be published under its channel's rule. The backend may have
// modified c. A panic ends the session, but the caller goes on, as it may hold something for c.
func (g *Gateway) admitPublish(ctx context.Context, p *Principal, s *Session, c *Publish, rule *rules.Rule) (err error) {
	defer g.wall.Catch("admit a publish", func() {
		if err = Failed; s != nil {
			s.Close(Failed)
		}
	})
	if asSubscriber := s != nil && !p.Backend() && rule.Publish == rules.Subscribers && s.places.isOn(c.Channel); !asSubscriber {
		if err := g.authorize(p, ToPublish, c.Channel, rule); err != nil {
			return err
		}
	}
	if err := g.checkPublish(*c, rule); err != nil {
		return err
	}
	if err := g.askPublish(ctx, p, s, c); err != nil {
		return err
	}
	return g.checkPublish(*c, rule) // the backend may have modified it
}

func (g *Gateway) checkPublish(c Publish, rule *rules.Rule) error {
	switch most := g.limits.MessageBytes; {
	case most > 0 && len(c.Payload) > most:
		return failf(TooLarge, "the message has %d bytes: limits.message_bytes allows %d", len(c.Payload), most)
	case len(c.Key) > maxKey:
		return failf(BadRequest, "the key has %d bytes: at most %d are allowed", len(c.Key), maxKey)
	case len(c.Event) > maxEvent:
		return failf(BadRequest, "the event's name has %d bytes: at most %d are allowed", len(c.Event), maxEvent)
	case strings.ContainsAny(c.Event, "\r\n\x00"):
		return failf(BadRequest, "the event's name has a line break in it")
	case len(c.Except) > maxSessionID:
		return failf(BadRequest, "the session to leave out has a name of %d bytes: no session's has more than %d", len(c.Except), maxSessionID)
	case c.Except != "" && rule.Bare:
		return failf(BadRequest, "nobody can be left out on %q: its messages travel bare", c.Channel)
	case len(c.Tags) > maxTags:
		return failf(BadRequest, "the tags have %d bytes: at most %d are allowed", len(c.Tags), maxTags)
	case !broker.AreTags(c.Tags):
		return failf(BadRequest, "tags must be a JSON object of strings")
	case c.Kind == broker.JSON && broker.Nested(c.Payload):
		return errNested
	}
	return nil
}

var errNested = failf(BadRequest, "the JSON is nested too deep: at most %d levels are allowed", broker.MostNested)

func (g *Gateway) publishOptions(c *Publish, rule *rules.Rule) broker.PublishOptions {
	o := broker.PublishOptions{Bare: rule.Bare, RestLater: true} // the client may have sent more, to be answered together
	if g.history != nil && !c.Transient {
		o.HistorySize, o.HistoryTTL, o.Replicas = rule.HistorySize, rule.HistoryTTL, rule.Replicas
	}
	return o
}

// PublishCost returns the cost of a publish.
func (g *Gateway) PublishCost(c *Publish) rates.Cost {
	cost := rates.Cost{Commands: 1, Bytes: len(c.Payload) + len(c.Key) + len(c.Event) + len(c.Except) + len(c.Tags), Key: c.Key != ""}
	if g.publishOptions(c, g.rule(c.Channel)).HistorySize > 0 {
		cost.Channel = c.Channel
	}
	return cost
}

// publish sends a message to the broker. The client is told when the broker has answered;
// publish itself waits only if too many answers are outstanding.
func (s *Session) publish(ctx context.Context, c Publish) {
	c.Channel = s.special.channelOf(c.Channel)
	if c.Joined && !s.places.isOn(c.Channel) {
		s.conclude(c, failf(Forbidden, "subscribe to %q before you publish there", c.Channel))
		return
	}
	size := len(c.Payload)
	if !s.special.takePublish() {
		s.conclude(c, failf(RateLimited, "more publishes a second than this connection may send: slow down and send it again"))
		return
	}
	payer := s.Payer()
	if err := s.gateway.Budget.Hold(payer, size); err != nil {
		s.conclude(c, err)
		return
	}
	s.publishing.begin(size)
	began := time.Now()
	s.gateway.publish(ctx, s.whoOn(c.Channel), s, c, began, s.confirmation(&c, payer, began))
	if size >= longPublish {
		s.Rest()
	}
}

// confirmation tells a client the outcome of a publish.
type confirmation struct {
	session *Session
	id      ID
	channel string
	size    int
	payer   *rates.Bucket // pays for size bytes
	began   time.Time

	conclude func(broker.Position, error) // the method value tell
}

// confirmation returns a function that must be called once, with the outcome of a publish. It
// reuses memory of earlier confirmations.
func (s *Session) confirmation(p *Publish, payer *rates.Bucket, began time.Time) func(broker.Position, error) {
	c, ok := s.gateway.confirmations.Get().(*confirmation)
	if !ok {
		c = new(confirmation)
		c.conclude = c.tell
	}
	c.session, c.id, c.channel, c.size, c.payer, c.began = s, p.ID, p.Channel, len(p.Payload), payer, began
	return c.conclude
}

func (c *confirmation) tell(position broker.Position, err error) {
	s, id, channel, size, payer, began := c.session, c.id, c.channel, c.size, c.payer, c.began
	c.session, c.channel, c.payer = nil, "", nil
	s.gateway.confirmations.Put(c)
	s.gateway.notePublish(began, err)
	defer s.gateway.Budget.LetGo(payer, size)
	defer s.publishing.end(size)
	defer s.gateway.wall.Catch("answer a publish", s.crash)
	if err == nil {
		frame, _ := s.frameOf(Published{ID: id, Channel: channel, Position: position})
		s.park(frame) // the broker calls Rest afterwards
	}
	s.concludeAs("publish", id, channel, err)
}

// longPublish is the size from which a message is not held back to be sent with others: a few
// compressed bytes could otherwise expand to more than outboxes hold.
const longPublish = 4 << 10

// tracePublish must be called when a publish begins. It returns the trace context for the
// message, and a wrapper of conclude that also tells the tracer.
func (g *Gateway) tracePublish(p *Principal, c *Publish, conclude func(broker.Position, error)) (string, func(broker.Position, error)) {
	trace, done := g.tracer.Publish(p, c.Channel, c.Trace)
	if done == nil {
		return trace, conclude
	}
	return trace, func(position broker.Position, err error) {
		done(err)
		conclude(position, err)
	}
}
