package gateway

import "time"

// expireSoon adds the session to those that are checked every second, if end is due before
// its next regular check.
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

// closeDue ends the sessions whose tokens have expired, and the expired subscriptions of
// others.
func (e *expiring) closeDue(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for s := range e.sessions {
		switch end := s.places.nextEnd(s.who().Expires); {
		case !s.out.Open():
			delete(e.sessions, s)
		case end.IsZero() || end.Sub(now) > 2*s.gateway.ping:
			delete(e.sessions, s) // renewed
		case now.Before(end):
		case end != s.who().Expires:
			s.leaveEnded(now)
		default:
			delete(e.sessions, s)
			s.Close(TokenExpired)
		}
	}
}

const pingGrace = 2 * time.Second

// leaveEnded ends the session's subscriptions that have expired.
func (s *Session) leaveEnded(now time.Time) {
	s.quitIf(func(sub *subscription) error {
		if sub.end != 0 && sub.end <= now.UnixMilli() {
			return errExpired
		}
		return nil
	})
}

var errExpired = failf(Unauthenticated, "the subscription's token has expired")
