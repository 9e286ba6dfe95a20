package gateway

import "context"

// renew postpones the end of a subscription, if the new credentials are accepted.
func (s *Session) renew(ctx context.Context, c Renew) error {
	name := s.special.channelOf(c.Channel)
	a, err := s.admitTo(ctx, Subscribe{ID: c.ID, Channel: name, Token: c.Token, Data: c.Data})
	if err != nil {
		return err
	}
	if a == nil {
		return failf(BadRequest, "what is shown does not admit to %q", name)
	}
	sub, err := s.places.renew(name, a)
	if err != nil {
		return err
	}
	sub.Recount() // the identity may have changed
	// A concurrent denial may have missed the new admission.
	if err := s.gateway.Denials.check(a); err != nil {
		s.leaveForbidden()
		return err
	}
	s.gateway.expireSoon(s, a.Until)
	s.tell(Renewed{ID: c.ID, Channel: name, Expires: a.Until})
	return nil
}

// admitTo returns the conditions under which the client may join a channel, from the gate or
// from the channel's token; nil stands for the zero Admission.
func (s *Session) admitTo(ctx context.Context, c Subscribe) (*Admission, error) {
	switch {
	case s.special.gate == nil && c.Token == "":
		return nil, nil
	case s.special.gate == nil:
		return s.admitByToken(ctx, c.Token, c.Channel)
	}
	a, err := s.special.gate.Admit(ctx, s.id, s.who(), c)
	if err != nil || a == (Admission{}) {
		return nil, err
	}
	return &a, nil
}

// admitByToken admits the session's user to the channel that a token names.
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
