package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"time"

	"tidegate/gateway/internal/hub"
	"tidegate/gateway/rules"
)

// greeting welcomes a session and subscribes it to its user's channels.
type greeting struct {
	session *Session
	id      ID                // of the Auth that it answers
	as      *Principal        // the principal that the session acts as from now on
	was     *Principal        // what as is derived from
	told    json.RawMessage   // the backend's data for the client
	cursors map[string]string // the client's cursors, by channel
	joined  []Subscribed      // events about the channels, for the client
}

// first sets the session's principal, subscribes it to the channels, and welcomes it. The
// Welcome, which lists these channels, is sent before any other event. On an error there is no
// Welcome and no subscription.
func (g *greeting) first(ctx context.Context) error {
	s := g.session
	s.out.Hold()
	err := s.become(g.as, g.was)
	if err == nil {
		err = g.join(ctx)
	}
	if err != nil {
		for _, e := range g.joined {
			if sub := s.places.drop(e.Channel); sub != nil {
				s.gateway.hub.Release(&sub.Subscription)
			}
		}
		s.endHold(nil)
		return err
	}
	s.welcomed = true
	welcome := g.welcome()
	welcome.Channels = g.joined
	for i := range g.joined {
		g.joined[i].Welcomed = true
	}
	s.endHold(g.events(welcome))
	return nil
}

// again is like first for a session that was welcomed before. It, too, subscribes the session
// before the Welcome, so that the client receives everything published after the Welcome. After
// an error the session acts as the new principal, but may not be on all of its channels.
func (g *greeting) again(ctx context.Context) error {
	s := g.session
	if err := s.become(g.as, g.was); err != nil {
		return err
	}
	s.out.Hold()
	s.reauthorize()
	err := g.join(ctx)
	events := g.events(g.welcome())
	if err != nil {
		events = events[1:] // the error is the answer
	}
	s.endHold(events)
	return err
}

func (g *greeting) welcome() Welcome {
	s, p := g.session, g.session.who()
	return Welcome{
		ID: g.id, Session: s.id, User: p.User, Info: p.Info, Node: s.gateway.node, Key: s.special.key, Expires: p.Expires, Ping: s.gateway.ping, Data: g.told,
	}
}

// events returns the Welcome and the events that follow it.
func (g *greeting) events(w Welcome) []Event {
	events := []Event{w}
	for _, e := range g.joined {
		events = append(events, e)
	}
	return events
}

// endHold sends events ahead of those that have arrived in the meantime.
func (s *Session) endHold(events []Event) {
	var frames [][]byte
	for _, event := range events {
		if frame, said := s.frameOf(event); said && frame != nil {
			frames = append(frames, frame)
		}
	}
	s.fill(frames)
	if s.out.Attached() {
		s.goOnAttached()
	}
}

// join subscribes the session to the channels that its user has from the start: the personal
// one and those in the Principal. The backend has put these names there, which is permission
// enough whatever the rules say, but never for the personal channel of another user. The
// replies are collected or, if they cannot be, sent. After an error the session may be on some
// of the channels.
func (g *greeting) join(ctx context.Context) (err error) {
	all := g.joins(g.joins(nil, g.own(), false), g.watched(), true)
	all.makeLive(ctx, g.session.gateway.hub)
	for _, j := range all {
		j.enter(ctx)
		err = cmp.Or(err, j.Err)
	}
	return err
}

// joins begins joins for the channels that the session is not on yet, besides all, up to the
// first that fails.
func (g *greeting) joins(all joins, names []string, unseen bool) joins {
	for _, name := range names {
		if all.are(name) || g.session.places.grant(name, time.Time{}) {
			continue
		}
		j := newJoin(g.session, Subscribed{Channel: name, Unseen: unseen}, g.cursors[name])
		j.Members, j.collected = unseen, &g.joined
		if j.Err == nil {
			j.reserve(terms{Terms: hub.Terms{Unseen: unseen}, granted: true})
		}
		if all = append(all, j); j.Err != nil {
			break // the answer is an error, however many there are
		}
	}
	return all
}

// own returns the channels of the session's user and token. If a name is refused, the client
// is told and the session goes on; otherwise a token with a mistake in it could never open a
// session. A session that is alone with its channels gets none, because the request that
// opened it has named all its channels.
func (g *greeting) own() (names []string) {
	if g.session.alone {
		return nil
	}
	p := g.session.who()
	if p.User != "" {
		names = append(names, rules.PersonalChannel(p.User))
	}
	for _, name := range p.Channels {
		if err := checkClaim(p, name); err != nil {
			g.session.mention(Failure{Channel: name, Code: err.Code, Message: err.Message})
			continue
		}
		names = append(names, name)
	}
	if p.User != "" && p.Online {
		names = append(names, rules.OnlineChannel(p.User))
	}
	return names
}

// watched returns the channels that tell the session who is online. The session does not count
// as their member.
func (g *greeting) watched() (names []string) {
	p := g.session.who()
	for _, user := range p.Watched {
		if name := rules.OnlineChannel(user); !g.session.alone && user != p.User && rules.CheckChannel(name) == nil {
			names = append(names, name)
		}
	}
	return names
}

// checkClaim returns an error if a name in p.Channels must not be used.
func checkClaim(p *Principal, name string) *Error {
	if err := rules.CheckChannel(name); err != nil {
		return ErrorOf(err)
	}
	if rules.IsPersonal(name) && name != rules.PersonalChannel(p.User) {
		return failf(Forbidden, "%q is another user's personal channel", name)
	}
	return nil
}
