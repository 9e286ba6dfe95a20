package gateway

import (
	"context"
	"time"
)

// receiveChannel puts the session on a channel because the server says so. One that is on
// it already hears nothing.
func (s *Session) receiveChannel(ctx context.Context, g Grant) error {
	switch {
	case g.bare() && s.grant(g.Channel, g.Until):
		return nil
	case !g.bare() && s.isOn(g.Channel):
		return failf(BadRequest, "the session %s is on %q already: take it off first", s.id, g.Channel)
	}
	t := terms{granted: true}
	if g.Info != nil {
		t.admission = &Admission{As: &Identity{s.who().User, g.Info}}
	}
	if err := s.join(ctx, Subscribed{Channel: g.Channel, Expires: g.Until, Data: g.Data}, g.Cursor, t); err != nil {
		return err
	}
	s.grant(g.Channel, g.Until)
	return nil
}

// grant makes the session's place on a channel one that the server has given until a time,
// and reports whether there is one.
func (s *Session) grant(channel string, until time.Time) bool {
	defer s.gateway.expireSoon(s, until)
	s.mu.Lock()
	defer s.mu.Unlock()
	at, found := s.place(channel)
	if found {
		s.subscriptions[at].granted = true
		s.subscriptions[at].setEnd(until)
	}
	return found
}

// isOn reports whether the session has a place on a channel.
func (s *Session) isOn(channel string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, found := s.place(channel)
	return found
}
