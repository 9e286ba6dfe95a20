package gateway

import "time"

// become makes the session act as p, which is derived from what it has acted as. It returns an
// error if the user has too many sessions or p is denied.
func (s *Session) become(p, was *Principal) error {
	if err := s.gateway.sessions.identify(s, p.User, s.gateway.limits.SessionsPerUser); err != nil {
		return err
	}
	s.mu.Lock()
	if end := s.principal.Expires; p.Expires.Equal(was.Expires) && !end.Equal(p.Expires) {
		changed := *p
		changed.Expires = end // said by the backend while p was derived, see expireAt
		p = s.gateway.keep(changed)
	}
	s.principal = p
	s.stopPending()
	s.mu.Unlock()
	if p.User != "" {
		s.purse.spendAs(p.User, s.gateway.Budget)
	}
	// A ban or a DropKeys during this call may not have found p among the sessions: check now.
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

// awaitAuth makes the session reject all other commands until the client authenticates, and
// closes it after authPatience.
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
