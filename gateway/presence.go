package gateway

import "context"

func (s *Session) askPresence(ctx context.Context, c Presence) error {
	return failf(NotFound, "%q has no presence", s.channelOf(c.Channel))
}
