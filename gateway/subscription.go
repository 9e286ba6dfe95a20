package gateway

import (
	"tidegate/gateway/internal/attendance"
	"tidegate/gateway/internal/hub"
	"tidegate/gateway/internal/outbox"
)

var _ hub.Subscriber = (*subscription)(nil)

// ID and Outbox are those of the session; Who is the identity on the channel.
func (sub *subscription) ID() string             { return sub.session.id }
func (sub *subscription) Outbox() *outbox.Outbox { return &sub.session.out }

func (sub *subscription) Who() attendance.Who {
	is := sub.who()
	return attendance.Who{User: is.User, Session: sub.session.id, Info: is.Info, Elsewhere: is.Elsewhere}
}

// Dismiss ends the subscription, or the session, unless the session has left the channel in
// the meantime.
func (sub *subscription) Dismiss(d hub.Dismissal) {
	s := sub.session
	switch has, granted := s.places.has(sub); {
	case !has:
	case d.Last == nil || granted:
		s.Close(ReasonOf(d.Why))
	case s.places.remove(sub):
		sub.Leave()
		s.push(d.Last)
		s.gateway.hub.Release(&sub.Subscription)
	}
}

// who returns the client's identity on the channel.
func (sub *subscription) who() Identity {
	if as := sub.session.places.identity(sub); as != nil {
		return *as
	}
	p := sub.session.who()
	return Identity{User: p.User, Info: p.Info}
}

// whoOn returns the principal that the session acts as on a channel.
func (s *Session) whoOn(channel string) *Principal { return s.places.as(s.who(), channel) }

// recount updates the attendance on all channels of the session, because its user has become
// known or the rules have changed.
func (s *Session) recount() {
	for _, sub := range s.places.all() {
		sub.Recount()
	}
}
