package gateway

import (
	"context"
	"time"
)

// receiveChannel puts the session on a channel until a time because the server says so;
// zero: for as long as it lasts. One that is on it already hears nothing.
func (s *Session) receiveChannel(ctx context.Context, channel string, until time.Time) error {
	if s.grant(channel, until) {
		return nil
	}
	if err := s.join(ctx, Subscribed{Channel: channel, Expires: until}, terms{granted: true}); err != nil {
		return err
	}
	s.grant(channel, until)
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
