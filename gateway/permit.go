package gateway

import (
	"cmp"
	"context"
	"encoding/json"
)

// asks reports whether the backend has a say in what p does.
func (g *Gateway) asks(event HookEvent, p *Principal) bool {
	return g.hooks != nil && !p.Backend() && g.hooks.Wants(event)
}

// askConnect returns whom s is to act as, if p comes, and what the client is told with
// its welcome. data is what the client says beside its token.
func (s *Session) askConnect(ctx context.Context, p Principal, data string) (Principal, json.RawMessage, error) {
	if !s.gateway.asks(OnConnect, &p) {
		return p, nil, nil
	}
	q := s.gateway.question(OnConnect, p, s)
	q.Data = data
	err := s.gateway.hooks.Ask(ctx, &q)
	return q.Principal, q.Told, cmp.Or(err, s.gateway.checkTold(&q))
}

// permit returns nil if the rules and the backend let p hear the channel. s is the
// session that p acts by; nil: there is none.
func (g *Gateway) permit(ctx context.Context, p *Principal, s *Session, channel string) error {
	_, err := g.askSubscribe(ctx, p, s, Subscribe{Channel: channel})
	return err
}

// askSubscribe is permit for what a client asks, and returns the question as the backend
// has left it; zero: it was not asked.
func (g *Gateway) askSubscribe(ctx context.Context, p *Principal, s *Session, c Subscribe) (Question, error) {
	if err := g.Authorize(p, ToSubscribe, c.Channel); err != nil {
		return Question{}, err
	}
	if !g.asks(OnSubscribe, p) || s != nil && s.places.isOn(c.Channel) {
		return Question{}, nil
	}
	q := g.question(OnSubscribe, *p, s) // needs memory only where somebody is asked
	q.Channel, q.Data = c.Channel, c.Data
	err := g.hooks.Ask(ctx, &q)
	return q, cmp.Or(err, g.checkTold(&q))
}

// checkTold returns what is wrong with what the backend would tell a client.
func (g *Gateway) checkTold(q *Question) error {
	if most := g.limits.MessageBytes; most > 0 && len(q.Told) > most {
		return failf(TooLarge, "the backend has %d bytes of data for the %s: at most %d are allowed", len(q.Told), q.Event, most)
	}
	return nil
}

// askPublish lets the backend refuse or rewrite c.
func (g *Gateway) askPublish(ctx context.Context, p *Principal, s *Session, c *Publish) error {
	if !g.asks(OnPublish, p) {
		return nil
	}
	q := g.question(OnPublish, *p, s)
	asked := *c // apart from c, which needs no memory where nobody is asked
	q.Channel, q.Publish = c.Channel, &asked
	g.line.Help() // the backend may take its time
	err := g.hooks.Ask(ctx, &q)
	*c = asked
	return err
}

// question begins a question of a session; nil: there is none.
func (g *Gateway) question(event HookEvent, p Principal, s *Session) Question {
	q := Question{Event: event, Node: g.node, Principal: p}
	if s != nil {
		q.Session, q.Transport, q.Protocol = s.id, s.transport, s.dialect.protocol.Name()
		q.Remote = hostOf(s.remote)
	}
	return q
}
