package gateway

import "tidegate/gateway/internal/attendance"

// register has the backend told when the session is over, also if its node dies. It
// is for a session that was let in.
func (s *Session) register() {
	g, p := s.gateway, s.who()
	if g.attendance == nil || !g.receivers.hearOfSessions() || p.Backend() || s.lacksAuth(p) {
		return
	}
	is := attendance.Who{User: p.User, Session: s.id, Info: s.farewell(Reason{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.left:
	case s.registered:
		g.attendance.Became(g.sessionsChannel, attendance.Who{Session: s.id}, is)
	default:
		s.registered = true
		g.attendance.Came(g.sessionsChannel, is)
	}
}
