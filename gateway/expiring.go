package gateway

import "time"

// expireSoon puts a session on the list of those that are watched each second, if
// something of it ends soon.
func (g *Gateway) expireSoon(s *Session, end time.Time) {
	if end.IsZero() || time.Until(end) > g.ping+pingGrace {
		return
	}
	e := &g.expiring
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.sessions == nil {
		e.sessions = make(map[*Session]struct{})
	}
	e.sessions[s] = struct{}{}
}

// closeDue ends the sessions whose tokens have ended, and the subscriptions.
func (e *expiring) closeDue(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for s := range e.sessions {
		switch end := s.nextEnd(); {
		case !s.out.Open():
			delete(e.sessions, s)
		case end.IsZero() || end.Sub(now) > 2*s.gateway.ping:
			delete(e.sessions, s) // renewed
		case now.Before(end):
		case end != s.who().Expires:
			s.goOn(s.leaveEnded)
		default:
			delete(e.sessions, s)
			s.Close(TokenExpired)
		}
	}
}

const pingGrace = 2 * time.Second

// nextEnd returns when the session's token ends, or one of its subscriptions, if that
// is sooner; zero: never.
func (s *Session) nextEnd() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.principal.Expires
	if !s.ends {
		return next
	}
	for _, sub := range s.subscriptions {
		if end := time.Unix(0, sub.end); sub.end != 0 && (next.IsZero() || end.Before(next)) {
			next = end
		}
	}
	return next
}

// leaveEnded takes the session off the channels on which its time is over.
func (s *Session) leaveEnded() {
	now := time.Now().UnixNano()
	for _, sub := range s.dropIf(func(sub *subscription) bool { return sub.end != 0 && sub.end <= now }) {
		s.gateway.hub.Release(&sub.Subscription)
		s.tell(Unsubscribed{Channel: sub.Channel(), Code: Unauthenticated, Reason: "the subscription's token has expired", Expired: true})
	}
}
