package gateway

import "context"

// receiveChannel puts the session on a channel because the server says so. One
// that is on it already hears nothing.
func (s *Session) receiveChannel(ctx context.Context, channel string) error {
	if s.grant(channel) {
		return nil
	}
	return s.join(ctx, Subscribed{Channel: channel}, terms{granted: true})
}

// grant makes the session's place on a channel one that the server has given, and
// reports whether there is one.
func (s *Session) grant(channel string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, found := s.place(channel)
	if found {
		s.subscriptions[at].granted = true
		s.subscriptions[at].end = 0
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
