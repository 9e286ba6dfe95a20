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
	var why []*Denial
	left := s.places.dropIf(func(sub *subscription) bool {
		d := s.gateway.Denials.ofAdmission(sub.admission)
		if d != nil {
			why = append(why, d)
		}
		return d != nil
	})
	for i, sub := range left {
		e := deniedBy(why[i])
		s.takeOff(sub, Unsubscribed{Channel: sub.Channel(), Code: e.Code, Reason: e.Message})
	}
	s.releaseSoon(left)
}

// reauthorize removes the session from the channels that the rules no longer allow, except
// those granted by the server.
func (s *Session) reauthorize() {
	var left []*subscription
	for _, sub := range s.places.all() {
		name := sub.Channel()
		if _, granted := s.places.has(sub); granted {
			continue
		}
		if err := s.gateway.Authorize(s.whoOn(name), ToSubscribe, name); err != nil && s.places.remove(sub) {
			e := ErrorOf(err)
			s.takeOff(sub, Unsubscribed{Channel: name, Code: e.Code, Reason: e.Message})
			left = append(left, sub)
		}
	}
	s.releaseSoon(left)
}
