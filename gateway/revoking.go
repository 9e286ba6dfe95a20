package gateway

// expel ends the sessions that are denied, and the subscriptions that were admitted by a
// revoked token or as a banned user.
func (r *sessions) expel() {
	for _, s := range r.all() {
		if d := s.gateway.Denials.of(s.who(), s.remote); d != nil {
			s.Close(reasonOf(d))
		} else {
			s.leaveForbidden()
		}
	}
}

// leaveForbidden ends the session's subscriptions that were admitted by revoked tokens or as
// banned users.
func (s *Session) leaveForbidden() {
	s.quitIf(func(sub *subscription) error { return s.gateway.Denials.check(sub.admission) })
}

// reauthorize removes the session from the channels that the rules no longer allow, except
// those granted by the server.
func (s *Session) reauthorize() {
	p := s.who()
	s.quitIf(func(sub *subscription) error {
		if sub.granted {
			return nil
		}
		name := sub.Channel()
		return s.gateway.Authorize(sub.admission.applied(p, name), ToSubscribe, name)
	})
}
