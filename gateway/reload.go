package gateway

import "tidegate/gateway/rules"

// SetRules replaces the rules. Sessions leave the channels that they may no
// longer be on, and are told.
func (g *Gateway) SetRules(list rules.List) error {
	if err := list.Validate(); err != nil {
		return err
	}
	g.rules.Store(&list)
	g.hub.each(func(ch *channel) { ch.setRule(g.rule(ch.name)) })
	for _, s := range g.sessions.all() {
		s.reauthorize()
		s.attendAll()
	}
	g.background.Go(func() { g.hub.each(g.hub.followLive) })
	return nil
}
