package gateway

import (
	"encoding/json"

	"tidegate/gateway/internal/attendance"
)

// farewell is stored with a registered session, so that the backend can be told when it ends.
// Code, Reason and Text are empty if the node died before it could say why.
type farewell struct {
	Node   string `json:"node"`
	Remote string `json:"remote,omitempty"`
	Code   int    `json:"code,omitempty"`
	Reason string `json:"reason,omitempty"`
	Text   string `json:"text,omitempty"`
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
