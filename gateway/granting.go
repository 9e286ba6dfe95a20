package gateway

import (
	"context"
	"time"

	"tidegate/gateway/internal/hub"
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
	t := terms{Terms: hub.Terms{Unseen: g.Unseen, Unaware: g.Unaware}, granted: true, unplaced: g.Unplaced}
	if g.Info != nil {
		as, err := s.who().identity(g.Info)
		if err != nil {
			return err
		}
		t.admission = &Admission{As: as}
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
	sub := s.subscriptions.on(channel)
	if sub != nil {
		sub.granted = true
		sub.setEnd(until)
	}
	return sub != nil
}
