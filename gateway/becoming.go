package gateway

import "time"

// become makes the session act as p.
func (s *Session) become(p *Principal) error {
	if err := s.gateway.sessions.identify(s, p.User, s.gateway.limits.SessionsPerUser); err != nil {
		return err
	}
	s.mu.Lock()
	s.principal = p
	s.stopPending()
	s.mu.Unlock()
	if p.User != "" {
		s.purse.spendAs(p.User, s.gateway.Budget)
	}
	// Before, p was not among the sessions in which a new ban, or DropKeys, looks for it.
	if err := s.gateway.Denials.Admit(p, s.remote); err != nil {
		return err
	}
	if s.gateway.keyWithdrawn(p) {
		return failf(Unauthenticated, withdrawn)
	}
	s.gateway.expireSoon(s, p.Expires)
	s.recount()
	return nil
}

// awaitAuth has the session do nothing else before it authenticates, and ends it unless
// it does in time.
func (s *Session) awaitAuth() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left || s.pending != nil {
		return
	}
	s.pending = time.AfterFunc(authPatience, func() {
		defer s.gateway.wall.Catch("end a session without a token", s.crash)
		s.gateway.NoteNoToken()
		s.Close(NotAuthentic.With("no auth command within " + authPatience.String()))
	})
}

const authPatience = 10 * time.Second
