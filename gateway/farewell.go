package gateway

import (
	"encoding/json"

	"tidegate/gateway/internal/attendance"
)

// register has the backend told when the session ends, even if this node dies. It is called
// once the session has been admitted.
func (s *Session) register() {
	g, p := s.gateway, s.who()
	if g.attendance == nil || !g.notices.wantSessions() || p.Backend() || s.lacksAuth(p) {
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

// unregister has the backend told that a registered session has ended.
func (s *Session) unregister(reason Reason) {
	s.mu.Lock()
	registered, p := s.registered, s.principal
	s.registered = false
	s.mu.Unlock()
	if registered {
		s.gateway.attendance.Went(s.gateway.sessionsChannel, attendance.Who{User: p.User, Session: s.id, Info: s.farewell(reason)})
	}
}

func (s *Session) farewell(reason Reason) json.RawMessage {
	info, _ := json.Marshal(farewell{s.gateway.node, hostOf(s.remote), reason.Code, reason.Label, reason.Text}) // cannot fail
	return info
}
