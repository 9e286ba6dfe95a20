package gateway

// leaveRevoked takes the session off the channels to which it was admitted by tokens that
// are revoked.
func (s *Session) leaveRevoked() {
	for _, sub := range s.dropIf(func(sub *subscription) bool { return s.gateway.revokes(s, sub.admission) }) {
		s.gateway.hub.Release(&sub.Subscription)
		s.tell(Unsubscribed{Channel: sub.Channel(), Code: Unauthenticated, Reason: "the token for the channel was revoked"})
	}
}

// revokes reports whether a token that admits a session to a channel is revoked; nil: there
// is none. It may be called with the session's mu held.
func (g *Gateway) revokes(s *Session, a *Admission) bool {
	return a != nil && a.by != nil && g.denial(&Principal{User: a.As.User, Token: *a.by}, s.remote) != nil
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
