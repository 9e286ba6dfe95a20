package gateway

import (
	"cmp"
	"context"
	"slices"
	"time"

	"tidegate/gateway/internal/hub"
)

// describe reports a user's sessions on this node, in parts.
func (r *sessions) describe(user string, say sayer) error {
	p := parts[SessionInfo]{say: say}
	for _, s := range r.openOf(user) {
		info := s.info()
		if err := p.add(info, info.bytes()); err != nil {
			return err
		}
	}
	return p.end()
}

// openOf returns a user's sessions on this node that have not ended.
func (r *sessions) openOf(user string) []*Session {
	return slices.DeleteFunc(r.of(user), func(s *Session) bool { return !s.out.Open() })
}

// find reports a session if it is open on this node.
func (r *sessions) find(id string, say sayer) error {
	if s := r.named(id); s != nil && s.out.Open() {
		return say(s.info())
	}
	return nil
}

func (s *Session) info() SessionInfo {
	return SessionInfo{
		Session: s.id, Node: s.gateway.node, Transport: s.transport, Protocol: s.dialect.protocol.Name(),
		Channels: s.places.channels(), Since: time.Unix(0, s.opened),
	}
}

// bytes returns the approximate size of i as JSON.
func (i *SessionInfo) bytes() int {
	n := 200
	for _, name := range i.Channels {
		n += len(name) + 3
	}
	return n
}

// reachedBy returns the sessions on this node that an errand applies to.
func (r *sessions) reachedBy(e errand) []*Session {
	return slices.DeleteFunc(r.openOf(e.User), func(s *Session) bool {
		return e.Session != "" && s.id != e.Session || slices.Contains(e.Except, s.id)
	})
}

// reach calls do for the sessions on this node that an errand applies to. It returns the number of
// those for which do returned true.
func (r *sessions) reach(e errand, do func(*Session, errand) bool) (reached int) {
	for _, s := range r.reachedBy(e) {
		if do(s, e) {
			reached++
		}
	}
	return reached
}

// expireAt makes the session end at the given time.
func (s *Session) expireAt(end time.Time) {
	if !end.IsZero() && !end.After(time.Now()) {
		s.Close(TokenExpired)
		return
	}
	s.mu.Lock()
	p := *s.principal
	p.Expires = end
	s.principal = s.gateway.keep(p)
	s.mu.Unlock()
	s.gateway.expireSoon(s, end)
}

// subscribe subscribes sessions to a channel. After an error it continues with the next
// session, unless the broker is unavailable.
func (r *sessions) subscribe(ctx context.Context, e errand, say sayer) (err error) {
	reached := 0
	for _, s := range r.reachedBy(e) {
		if s.alone && !s.places.isOn(e.Channel) {
			continue // see greeting.own
		}
		failure := s.receiveChannel(ctx, e.Grant)
		switch {
		case failure == nil:
			reached++
		case s.out.Open():
			err = failure
		}
		if err != nil && ErrorOf(err).Code == Unavailable {
			break
		}
	}
	return cmp.Or(say(reached), err)
}

// receiveChannel subscribes the session to a channel on behalf of the server. The client is
// not told if it was on the channel before.
func (s *Session) receiveChannel(ctx context.Context, g Grant) error {
	if g.bare() && s.places.grant(g.Channel, g.Until) {
		s.gateway.expireSoon(s, g.Until)
		return nil
	}
	t := terms{Terms: hub.Terms{Unseen: g.Unseen, Unaware: g.Unaware}, granted: true, until: g.Until, fresh: !g.bare(), unplaced: g.Unplaced}
	if g.Info != nil {
		as, err := s.who().identity(g.Info)
		if err != nil {
			return err
		}
		t.admission = &Admission{As: as}
	}
	return s.join(ctx, Subscribed{Channel: g.Channel, Data: g.Data}, g.Cursor, t)
}

// loseChannel removes the session from a channel and reports whether it was on it.
func (s *Session) loseChannel(channel string) bool {
	const text = "unsubscribed by the backend"
	if channel == s.special.home {
		s.Close(Disconnected.With(text))
		return true
	}
	return s.quit(Unsubscribed{Channel: channel, Code: Forbidden, Reason: text})
}
