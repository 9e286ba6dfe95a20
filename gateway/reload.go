package gateway

import "tidegate/gateway/rules"

// SetRules replaces the rules. Sessions leave the channels that they may no
// longer be on, and are told.
func (g *Gateway) SetRules(list rules.List) error {
	if err := list.Validate(); err != nil {
		return err
	}
	g.rules.Store(&list)
	g.hub.Reload()
	for _, s := range g.sessions.all() {
		s.reauthorize()
		s.attendAll()
	}
	g.background.Go(g.hub.FollowAll)
	return nil
}
