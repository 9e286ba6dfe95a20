package gateway

import (
	"math/rand/v2"
	"time"

	"tidegate/gateway/internal/pause"
)

// dismissal is how those go who cannot be told of something and stay.
type dismissal struct {
	last   []byte // the client is told this, and its subscription ends; nil: the session ends
	reason Reason // why a session ends
}

// dismissalFor returns what an event's frame, or the error in its place, brings about, if
// anything.
func dismissalFor(frame Frame, err error) (d dismissal, due bool) {
	switch {
	case err != nil:
		return dismissal{reason: ReasonOf(err)}, true
	case frame.Last:
		return dismissal{last: frame.Data, reason: Missed}, true
	}
	return dismissal{}, false
}

// dismiss sends the members of an audience away, spread over some seconds, so that they
// do not come back all at once. They hear nothing of the channel any more. The caller
// holds ch.mu.
func (ch *channel) dismiss(a *audience, d dismissal) {
	members := a.members
	a.members = nil
	for i := range members {
		members[i].of.joined = false
	}
	g := ch.hub.gateway
	g.background.Go(func() {
		began := time.Now()
		for i := range members {
			if !pause.Until(g.life, began.Add(dismissWindow*time.Duration(i)/time.Duration(len(members)))) {
				return
			}
			members[i].of.dismiss(d)
		}
	})
}

const dismissWindow = 3 * time.Second

// dismiss ends the subscription, or the session, unless the session has left the
// channel meanwhile.
func (sub *subscription) dismiss(d dismissal) {
	s := sub.session
	switch has, granted := s.has(sub); {
	case !has:
	case d.last == nil || granted:
		s.Close(d.reason)
	case s.dropOne(sub):
		s.gateway.forget(sub)
		s.push(d.last)
	}
}

// say sends the client an event of the channel, before the subscription is one of its
// audience. It reports false if the subscription or the session ends instead, shortly.
func (sub *subscription) say(event Event) (said bool) {
	frame, err := sub.session.dialect.encode(event)
	if d, due := dismissalFor(frame, err); due {
		sub.session.gateway.soon(d.reason, func() { sub.dismiss(d) })
		return false
	}
	sub.session.push(frame.Data)
	return true
}

// endSoon closes a session for what it cannot be told otherwise.
func (g *Gateway) endSoon(s *Session, reason Reason) { g.soon(reason, func() { s.Close(reason) }) }

// soon calls end, which is due for a reason. A gap is likely to be many sessions' at
// once: then it is at some moment of the dismissWindow.
func (g *Gateway) soon(reason Reason, end func()) {
	if !reason.Is(Missed) {
		end()
		return
	}
	g.background.Go(func() {
		if pause.For(g.life, rand.N(dismissWindow)) {
			end()
		}
	})
}
