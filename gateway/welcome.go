package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"time"

	"tidegate/gateway/internal/hub"
	"tidegate/gateway/rules"
)

// greeting is a session's way to its Welcome, and with it onto the channels that are its
// user's.
type greeting struct {
	session *Session
	id      ID                // of the Auth that it answers
	as      *Principal        // whom the session acts as from now on
	told    json.RawMessage   // by the backend
	cursors map[string]string // where the client is on the channels, by name
	joined  []Subscribed      // what it is to hear of them
}

// first makes the session act as its user, puts it on the channels, and welcomes it: the
// Welcome, which says what channels these are, is the first of all that the client is told
// from now on. On an error there is no Welcome, and it is on none of them.
func (g *greeting) first(ctx context.Context) error {
	s := g.session
	s.out.Hold()
	err := s.become(g.as)
	if err == nil {
		err = g.join(ctx)
	}
	if err != nil {
		for _, e := range g.joined {
			s.quit(e.Channel)
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

// again is first for a session that was welcomed before. Here, too, it is on the channels
// when it is welcomed: what is published to them from then on it hears.
func (g *greeting) again(ctx context.Context) error {
	s := g.session
	if err := s.become(g.as); err != nil {
		return err
	}
	s.out.Hold()
	s.reauthorize()
	err := g.join(ctx)
	s.endHold(g.events(g.welcome()))
	return err
}

func (g *greeting) welcome() Welcome {
	s, p := g.session, g.session.who()
	return Welcome{
		ID: g.id, Session: s.id, User: p.User, Info: p.Info, Node: s.gateway.node, Key: s.special.key, Expires: p.Expires, Ping: s.gateway.ping, Data: g.told,
	}
}

// events returns what the client is told first.
func (g *greeting) events(w Welcome) []Event {
	events := []Event{w}
	for _, e := range g.joined {
		events = append(events, e)
	}
	return events
}

// endHold tells what was to be told before what has come meanwhile.
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

// join puts the session on the channels that are its user's from the start:
// the personal one, and those that the Principal names. That the backend has put a
// name there is the permission, whatever the channel's rule says, but nobody gets
// onto another's personal channel. What the client is to hear of each is collected, or,
// without a place for it, told. On an error the session may be on some.
func (g *greeting) join(ctx context.Context) (err error) {
	all := append(g.joins(g.own(), false), g.joins(g.watched(), true)...)
	all.makeLive(ctx, g.session.gateway.hub)
	for _, j := range all {
		j.enter(ctx)
		err = cmp.Or(err, j.Err)
	}
	return err
}

// joins begins the ways onto channels that the session is not on yet.
func (g *greeting) joins(names []string, unseen bool) (all joins) {
	for _, name := range names {
		if g.session.places.grant(name, time.Time{}) {
			continue
		}
		j := newJoin(g.session, Subscribed{Channel: name, Unseen: unseen}, g.cursors[name])
		j.Members, j.collected = unseen, &g.joined
		if j.Err == nil {
			j.reserve(terms{Terms: hub.Terms{Unseen: unseen}, granted: true})
		}
		all = append(all, j)
	}
	return all
}

// own returns the channels that the session is on because of its user and token.
// The client hears of a name that is refused, and the session lives: otherwise a token
// with a mistake in it could never open one. A session that is alone with its channels
// gets none: the request that opened it has named all that it is to hear.
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

// watched returns the channels on which the session is told who is online. It does not
// count as a member there.
func (g *greeting) watched() (names []string) {
	p := g.session.who()
	for _, user := range p.Watched {
		if name := rules.OnlineChannel(user); !g.session.alone && user != p.User && rules.CheckChannel(name) == nil {
			names = append(names, name)
		}
	}
	return names
}

// checkClaim returns what is wrong with one of p.Channels.
func checkClaim(p *Principal, name string) *Error {
	if err := rules.CheckChannel(name); err != nil {
		return ErrorOf(err)
	}
	if rules.IsPersonal(name) && name != rules.PersonalChannel(p.User) {
		return failf(Forbidden, "%q is another user's personal channel", name)
	}
	return nil
}
