package gateway

import "context"

// renew puts the end of a subscription off, if the gate admits it anew.
func (s *Session) renew(ctx context.Context, c Renew) error {
	name := s.channelOf(c.Channel)
	a, err := s.admitTo(ctx, Subscribe{ID: c.ID, Token: c.Token, Data: c.Data}, name)
	if err != nil {
		return err
	}
	if a == nil {
		return failf(BadRequest, "what is shown does not admit to %q", name)
	}
	sub, err := s.putOff(name, a)
	if err != nil {
		return err
	}
	sub.Recount() // it may be shown otherwise from now on
	if s.gateway.Denials.ofAdmission(a) != nil {
		s.leaveForbidden() // who forbade it may have looked before
		return nil
	}
	s.gateway.expireSoon(s, a.Until)
	s.tell(Renewed{ID: c.ID, Channel: name, Expires: a.Until})
	return nil
}

func (s *Session) putOff(name string, a *Admission) (*subscription, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.subscriptions.on(name)
	if sub == nil {
		return nil, failf(NotFound, "the session is not subscribed to %q", name)
	}
	if was := sub.admission; a.As != nil && (was == nil || was.As == nil || was.As.User != a.As.User) {
		return nil, failf(Forbidden, "a subscription keeps its user: subscribe anew to be another one on %q", name)
	}
	sub.take(a)
	return sub, nil
}

// admitTo asks the gate, or takes from the token of a channel, how the client may come to
// it. nil: as the zero Admission says.
func (s *Session) admitTo(ctx context.Context, c Subscribe, channel string) (*Admission, error) {
	switch {
	case s.special.gate == nil && c.Token == "":
		return nil, nil
	case s.special.gate == nil:
		return s.admitByToken(ctx, c.Token, channel)
	}
	c.Channel = channel
	a, err := s.special.gate.Admit(ctx, s.id, c)
	if err != nil || a == (Admission{}) {
		return nil, err
	}
	return &a, nil
}

// admitByToken admits the session's user to the channel that a token of it names.
func (s *Session) admitByToken(ctx context.Context, token, channel string) (*Admission, error) {
	if s.gateway.auth == nil {
		return nil, failf(Unauthenticated, "this gateway knows no tokens: configure auth.jwt")
	}
	by, err := s.gateway.auth.Authenticate(ctx, token)
	if err == nil {
		err = s.gateway.Denials.Admit(&by, s.remote)
	}
	p := s.who()
	switch {
	case err != nil:
		return nil, err
	case by.Token.Channel != channel:
		return nil, failf(Forbidden, "the token is not for %q", channel)
	case by.User != p.User:
		return nil, failf(Forbidden, "the token for %q is not for this user", channel)
	}
	as, err := p.identity(by.Info)
	return &Admission{Named: true, As: as, Until: by.Expires, by: &by.Token}, err
}
