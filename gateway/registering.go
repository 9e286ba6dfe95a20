package gateway

import "tidegate/gateway/internal/attendance"

// register has the backend told when the session ends, even if this node dies. It is called
// once the session has been admitted.
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
