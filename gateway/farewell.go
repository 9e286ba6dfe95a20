package gateway

import (
	"encoding/json"

	"tidegate/gateway/internal/attendance"
)

// farewell is what is kept with a session of which the backend is told when it is
// over. Code, Reason and Text are not there if nobody could say why it ended.
type farewell struct {
	Node   string `json:"node"`
	Remote string `json:"remote,omitempty"`
	Code   int    `json:"code,omitempty"`
	Reason string `json:"reason,omitempty"`
	Text   string `json:"text,omitempty"`
}

// unregister has the backend told that a session which was let in is over.
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
	info, _ := json.Marshal(farewell{s.gateway.node, hostOf(s.remote), reason.Code, reason.Label, reason.Text}) // it cannot fail
	return info
}
