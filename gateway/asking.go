package gateway

import (
	"cmp"
	"context"
	"encoding/json"
)

// asks reports whether the backend is asked about events of p.
func (g *Gateway) asks(event HookEvent, p *Principal) bool {
	return g.hooks != nil && !p.Backend() && g.hooks.Wants(event)
}

// askConnect asks the backend about a connect of p. It returns the principal that s is to act
// as and the backend's data for the Welcome. data is what the client says beside its token.
func (s *Session) askConnect(ctx context.Context, p Principal, data string) (Principal, json.RawMessage, error) {
	if !s.gateway.asks(OnConnect, &p) {
		return p, nil, nil
	}
	q := s.gateway.question(ctx, OnConnect, p, s)
	q.Data = data
	if kept := s.special.headers.Load(); q.Headers == nil && kept != nil {
		q.Headers = kept.values
	}
	err := s.gateway.hooks.Ask(ctx, &q)
	if err == nil {
		s.dropHeaders()
	}
	return q.Principal, q.Told, cmp.Or(err, s.gateway.checkTold(&q))
}

// permit returns nil if the rules and the backend let p receive the channel. s is the session
// through which p acts; it may be nil.
func (g *Gateway) permit(ctx context.Context, p *Principal, s *Session, channel string) error {
	_, err := g.askSubscribe(ctx, p, s, Subscribe{Channel: channel})
	return err
}

// askSubscribe is like permit for a client's Subscribe. It returns the question with the
// backend's changes, or the zero Question if the backend was not asked.
func (g *Gateway) askSubscribe(ctx context.Context, p *Principal, s *Session, c Subscribe) (Question, error) {
	if err := g.Authorize(p, ToSubscribe, c.Channel); err != nil {
		return Question{}, err
	}
	if !g.asks(OnSubscribe, p) || s != nil && s.places.isOn(c.Channel) {
		return Question{}, nil
	}
	q := g.question(ctx, OnSubscribe, *p, s) // allocates, so only if the backend is asked
	q.Channel, q.Data = c.Channel, c.Data
	err := g.hooks.Ask(ctx, &q)
	return q, cmp.Or(err, g.checkTold(&q))
}

// checkTold returns an error if the backend's data for the client is too large.
func (g *Gateway) checkTold(q *Question) error {
	if most := g.limits.MessageBytes; most > 0 && len(q.Told) > most {
		return failf(TooLarge, "the backend has %d bytes of data for the %s: at most %d are allowed", len(q.Told), q.Event, most)
	}
	return nil
}

// askPublish lets the backend refuse or modify c.
func (g *Gateway) askPublish(ctx context.Context, p *Principal, s *Session, c *Publish) error {
	if !g.asks(OnPublish, p) {
		return nil
	}
	q := g.question(ctx, OnPublish, *p, s)
	asked := *c // a copy, so that c is not allocated if nobody is asked
	q.Channel, q.Publish = c.Channel, &asked
	g.line.Help() // the backend may take a while
	err := g.hooks.Ask(ctx, &q)
	*c = asked
	return err
}

// question returns a new Question about p and its session s, which may be nil.
func (g *Gateway) question(ctx context.Context, event HookEvent, p Principal, s *Session) Question {
	q := Question{Event: event, Node: g.node, Principal: p, Headers: headersOf(ctx)}
	if s != nil {
		q.Session, q.Transport, q.Protocol = s.id, s.transport, s.dialect.protocol.Name()
		q.Remote = hostOf(s.remote)
	}
	return q
}
