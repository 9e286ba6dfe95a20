package gateway

import (
	"slices"

	"tidegate/gateway/internal/attendance"
	"tidegate/gateway/internal/hub"
	"tidegate/gateway/internal/outbox"
)

// subscription is a session's place on a channel.
type subscription struct {
	hub.Subscription
	session   *Session   // fixed at birth
	admission *Admission // fixed at birth; nil: the zero one

	// Guarded by the session's mu.
	end     int64 // when it ends, in Unix nanoseconds; 0: with the session
	granted bool  // by the server, whatever the rule says
}

// terms are how a session is to be on a channel.
type terms struct {
	hub.Terms
	admission *Admission
	granted   bool
}

var _ hub.Subscriber = (*subscription)(nil)

// ID, Who and Outbox are of the session; Who is whom it acts as on the channel.
func (sub *subscription) ID() string             { return sub.session.id }
func (sub *subscription) Outbox() *outbox.Outbox { return &sub.session.out }

func (sub *subscription) Who() attendance.Who {
	is := sub.who()
	return attendance.Who{User: is.User, Session: sub.session.id, Info: is.Info}
}

// Dismiss ends the subscription, or the session, unless the session has left the
// channel meanwhile.
func (sub *subscription) Dismiss(d hub.Dismissal) {
	s := sub.session
	switch has, granted := s.has(sub); {
	case !has:
	case d.Last == nil || granted:
		s.Close(ReasonOf(d.Why))
	case s.dropOne(sub):
		s.gateway.hub.Release(&sub.Subscription)
		s.push(d.Last)
	}
}

// who returns who the subscription's client is.
func (sub *subscription) who() Identity {
	if a := sub.admission; a != nil && a.As != nil {
		return *a.As
	}
	p := sub.session.who()
	return Identity{p.User, p.Info}
}

// has reports whether a subscription is the session's still, and whether it is by a
// grant of the server's.
func (s *Session) has(sub *subscription) (has, granted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, found := s.place(sub.Channel())
	return found && s.subscriptions[at] == sub, sub.granted
}

// dropOne gives up a place, and reports whether the session still had it.
func (s *Session) dropOne(sub *subscription) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, found := s.place(sub.Channel())
	if !found || s.subscriptions[at] != sub {
		return false
	}
	s.subscriptions = slices.Delete(s.subscriptions, at, at+1)
	return true
}
