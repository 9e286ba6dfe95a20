package gateway

// expel ends the sessions of who is forbidden to be here, and the subscriptions of who was
// admitted to a channel by a token that is revoked, or as a user that is banned.
func (r *sessions) expel() {
	for _, s := range r.all() {
		if d := s.gateway.Denials.of(s.who(), s.remote); d != nil {
			s.Close(reasonOf(d))
		} else {
			s.leaveForbidden()
		}
	}
}

// leaveForbidden takes the session off the channels to which it was admitted by tokens that
// are revoked, or as users that are banned.
func (s *Session) leaveForbidden() {
	var why []*Denial
	left := s.places.dropIf(func(sub *subscription) bool {
		d := s.gateway.Denials.ofAdmission(sub.admission)
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

// reauthorize takes the session off the channels that it may not be on, but for
// those that the server has put it on.
func (s *Session) reauthorize() {
	for _, name := range s.places.channels() {
		if s.places.isGranted(name) {
			continue
		}
		if err := s.gateway.Authorize(s.whoOn(name), ToSubscribe, name); err != nil && s.quit(name) {
			e := ErrorOf(err)
			s.tell(Unsubscribed{Channel: name, Code: e.Code, Reason: e.Message})
		}
	}
}
