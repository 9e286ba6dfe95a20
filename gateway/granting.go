package gateway

import (
	"context"

	"tidegate/gateway/internal/hub"
)

// receiveChannel subscribes the session to a channel on behalf of the server. The client is
// not told if it was on the channel before.
func (s *Session) receiveChannel(ctx context.Context, g Grant) error {
	if g.bare() && s.places.grant(g.Channel, g.Until) {
		s.gateway.expireSoon(s, g.Until)
		return nil
	}
	t := terms{Terms: hub.Terms{Unseen: g.Unseen, Unaware: g.Unaware}, granted: true, fresh: !g.bare(), unplaced: g.Unplaced}
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
	s.places.grant(g.Channel, g.Until)
	s.gateway.expireSoon(s, g.Until)
	return nil
}
