package gateway

import (
	"slices"
	"time"
)

// reserve makes a place for the session on a channel, unless it has one already.
func (s *Session) reserve(name string, t terms) (sub *subscription, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, found := s.subscriptions.find(name)
	switch most := s.gateway.limits.ChannelsPerSession; {
	case found:
		sub = s.subscriptions[at]
		sub.show(t.admission)
		return sub, nil
	case s.left:
		return nil, failf(Unavailable, "the session has ended")
	case most > 0 && !t.Unseen && len(s.subscriptions) >= most && s.subscriptions.seen() >= most:
		return nil, failf(LimitExceeded, "the session is on %d channels, as many as limits.channels_per_session allows", most)
	}
	sub = &subscription{session: s, admission: t.admission, granted: t.granted}
	var room bool
	if sub.Subscription, room = s.gateway.hub.Reserve(name, sub, s.dialect.ofChannels, t.Terms); !room {
		return nil, failf(LimitExceeded, "the node has %d subscriptions, as many as limits.subscriptions allows", s.gateway.limits.Subscriptions)
	}
	sub.show(t.admission)
	s.subscriptions = slices.Insert(s.subscriptions, at, sub)
	return sub, nil
}

// drop gives up the session's place on a channel; nil: it has none.
func (s *Session) drop(name string) *subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.subscriptions.on(name)
	if sub != nil {
		s.subscriptions.remove(sub)
	}
	return sub
}

// channels returns the names of the channels that the session is on.
func (s *Session) channels() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make([]string, len(s.subscriptions))
	for i, sub := range s.subscriptions {
		names[i] = sub.Channel()
	}
	return names
}

// quit takes the session off a channel, and reports whether it was on it.
func (s *Session) quit(name string) bool {
	sub := s.drop(name)
	if sub == nil {
		return false
	}
	s.gateway.hub.Release(&sub.Subscription)
	return true
}

// hasGrant reports whether the server has put the session on a channel.
func (s *Session) hasGrant(channel string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.subscriptions.on(channel)
	return sub != nil && sub.granted
}

// has reports whether a subscription is the session's still, and whether it is by a
// grant of the server's.
func (s *Session) has(sub *subscription) (has, granted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.subscriptions.on(sub.Channel()) == sub, sub.granted
}

// dropOne gives up a place, and reports whether the session still had it.
func (s *Session) dropOne(sub *subscription) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.subscriptions.remove(sub)
}

// show is called with the session's mu held, when a Subscribe comes to a place that the
// session has: if something was shown with it, that counts from now on.
func (sub *subscription) show(a *Admission) {
	if a != nil && !sub.granted {
		sub.take(a)
	}
}

// take has the subscription rest on what was shown last. It is called with the session's
// mu held.
func (sub *subscription) take(a *Admission) {
	sub.setEnd(a.Until)
	was := sub.admission
	switch {
	case was == nil:
		return
	case was.by != nil && a.by != nil:
		*was.by = *a.by
	}
	if was.As != nil && a.As != nil {
		was.As = a.As
	}
}

// endOf returns when a subscription ends; zero: with the session.
func (s *Session) endOf(sub *subscription) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub.end == 0 {
		return time.Time{}
	}
	return time.Unix(0, sub.end)
}

// setEnd is called with the session's mu held.
func (sub *subscription) setEnd(end time.Time) {
	sub.end = 0
	if !end.IsZero() {
		sub.end, sub.session.ends = end.UnixNano(), true
	}
}

// dropIf gives up the places that are over, and returns them. It calls over with the
// session's mu held.
func (s *Session) dropIf(over func(*subscription) bool) (dropped []*subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subscriptions = slices.DeleteFunc(s.subscriptions, func(sub *subscription) bool {
		gone := over(sub)
		if gone {
			dropped = append(dropped, sub)
		}
		return gone
	})
	return dropped
}

// isOn reports whether the session has a place on a channel, for which it has been let
// in then; nil has none.
func (s *Session) isOn(channel string) bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.subscriptions.on(channel) != nil
}

// attendAll looks anew at all that the session is on, since its user has become
// known, or the rules have changed.
func (s *Session) attendAll() {
	if s.gateway.attendance == nil {
		return
	}
	s.mu.Lock()
	subscriptions := slices.Clone(s.subscriptions)
	s.mu.Unlock()
	for _, sub := range subscriptions {
		sub.Recount()
	}
}

// whoOn returns who the session acts as on a channel.
func (s *Session) whoOn(channel string) *Principal {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.subscriptions.on(channel)
	if sub == nil {
		return s.principal
	}
	return sub.admission.applied(s.principal, channel)
}
