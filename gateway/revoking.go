package gateway

// leaveForbidden takes the session off the channels to which it was admitted by tokens that
// are revoked, or as users that are banned.
func (s *Session) leaveForbidden() {
	var why []*Denial
	left := s.dropIf(func(sub *subscription) bool {
		d := s.gateway.forbids(sub.admission)
		if d != nil {
			why = append(why, d)
		}
		return d != nil
	})
	for i, sub := range left {
		s.gateway.hub.Release(&sub.Subscription)
		e := deniedBy(why[i])
		s.tell(Unsubscribed{Channel: sub.Channel(), Code: e.Code, Reason: e.Message})
	}
}

// forbids returns what forbids a session to be on a channel as an Admission says, beside
// what forbids it to be here; nil: nothing. It may be called with the session's mu held.
func (g *Gateway) forbids(a *Admission) *Denial {
	if a == nil || a.As == nil {
		return nil
	}
	p := Principal{User: a.As.User}
	if a.by != nil {
		p.Token = *a.by
	}
	return g.denial(&p, "")
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
