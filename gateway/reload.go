package gateway

import "tidegate/gateway/rules"

// DropKeys ends the sessions of backends whose API keys are no longer valid, and those about
// to open. holds reports whether a Principal returned by Authenticate is still valid.
func (g *Gateway) DropKeys(holds func(Principal) bool) {
	g.holds.Store(&holds)
	for _, s := range g.sessions.all() {
		if g.keyWithdrawn(s.who()) {
			s.Close(NotAuthentic.With(withdrawn))
		}
	}
}

const withdrawn = "the API key was withdrawn"

func (g *Gateway) keyWithdrawn(p *Principal) bool {
	holds := g.holds.Load()
	return holds != nil && p.Backend() && !(*holds)(*p)
}

// SetRules replaces the rules. Sessions are removed from the channels that they may no longer
// be on, and are told.
func (g *Gateway) SetRules(list rules.List) error {
	if err := list.Validate(); err != nil {
		return err
	}
	g.rules.Store(&list)
	g.hub.Reload()
	for _, s := range g.sessions.all() {
		s.reauthorize()
		s.recount()
	}
	g.background.Go(g.hub.FollowAll)
	return nil
}
