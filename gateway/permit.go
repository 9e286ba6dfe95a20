package gateway

import "context"

// asks reports whether the backend has a say in what p does.
func (g *Gateway) asks(event HookEvent, p *Principal) bool {
	return g.hooks != nil && !p.Backend() && g.hooks.Wants(event)
}

// askConnect returns whom s is to act as, if p comes.
func (s *Session) askConnect(ctx context.Context, p Principal) (Principal, error) {
	if !s.gateway.asks(OnConnect, &p) {
		return p, nil
	}
	q := s.gateway.question(OnConnect, p, s)
	err := s.gateway.hooks.Ask(ctx, &q)
	return q.Principal, err
}

// permit returns nil if the rules and the backend let p do a on the channel. s is
// the session that p acts by; nil: there is none.
func (g *Gateway) permit(ctx context.Context, p *Principal, s *Session, a Action, channel string) error {
	if err := g.Authorize(p, a, channel); err != nil {
		return err
	}
	if a != ToSubscribe || !g.asks(OnSubscribe, p) || s.listensTo(channel) {
		return nil
	}
	q := g.question(OnSubscribe, *p, s)
	q.Channel = channel
	return g.hooks.Ask(ctx, &q)
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
