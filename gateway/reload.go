package gateway

import "tidegate/gateway/rules"

// SetRules replaces the rules. Sessions leave the channels that they may no
// longer be on, and are told.
func (g *Gateway) SetRules(list rules.List) error {
	if err := list.Validate(); err != nil {
		return err
	}
	g.rules.Store(&list)
	g.hub.each(func(ch *channel) { ch.rule.Store(g.rule(ch.name)) })
	for _, s := range g.sessions.all() {
		s.reauthorize()
		s.attendAll()
	}
	g.background.Go(func() { g.hub.each(g.hub.followLive) })
	return nil
}

// reauthorize takes the session off the channels that it may not be on, but for
// those that the server has put it on.
func (s *Session) reauthorize() {
	for _, name := range s.channels() {
		if s.hasGrant(name) {
			continue
		}
		if err := s.gateway.Authorize(s.whoOn(name), ToSubscribe, name); err != nil && s.quit(name) {
			e := ErrorOf(err)
			s.tell(Unsubscribed{Channel: name, Code: e.Code, Reason: e.Message})
		}
	}
}

// channels returns the names of the channels that the session is on.
func (s *Session) channels() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make([]string, len(s.subscriptions))
	for i, sub := range s.subscriptions {
		names[i] = sub.channel.name
	}
	return names
}
