package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"time"

	"tidegate/gateway/internal/hub"
	"tidegate/gateway/rules"
)

// greet makes the session act as p, puts it on the channels that are p's, and welcomes
// it: the Welcome, which says what channels these are, is the first of all that the
// client is told from now on. On an error there is no Welcome, and it is on none of them.
func (s *Session) greet(ctx context.Context, id ID, p *Principal, cursors map[string]string, told json.RawMessage) error {
	var joined []Subscribed
	s.out.Hold()
	err := s.become(p)
	if err == nil {
		err = s.joinOwn(ctx, cursors, &joined)
	}
	if err != nil {
		for _, e := range joined {
			s.quit(e.Channel)
		}
		s.endHold(nil)
		return err
	}
	s.welcomed = true
	s.endHold(s.beginning(id, joined, told))
	return nil
}

// beginning returns what a client is told first.
func (s *Session) beginning(id ID, joined []Subscribed, told json.RawMessage) []Event {
	welcome := s.welcome(id, told)
	welcome.Channels = joined
	events := []Event{welcome}
	for i := range joined {
		joined[i].Welcomed = true
		events = append(events, joined[i])
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
	if s.out.Fill(frames, &s.gateway.outboxes) {
		s.gateway.line.Queue(&s.out)
	}
	if s.out.Attached() {
		s.goOnAttached()
	}
}

// renewWelcome makes a session that was welcomed before act as p. Here, too, it is on the
// channels that are p's when it is welcomed: what is published to it from then on it hears.
func (s *Session) renewWelcome(ctx context.Context, id ID, p *Principal, told json.RawMessage) error {
	if err := s.become(p); err != nil {
		return err
	}
	var joined []Subscribed
	s.out.Hold()
	s.reauthorize()
	err := s.joinOwn(ctx, nil, &joined)
	events := []Event{s.welcome(id, told)}
	for _, e := range joined {
		events = append(events, e)
	}
	s.endHold(events)
	return err
}

func (s *Session) welcome(id ID, told json.RawMessage) Welcome {
	p := s.who()
	return Welcome{
		ID: id, Session: s.id, User: p.User, Info: p.Info, Node: s.gateway.node, Key: s.special.key, Expires: p.Expires, Ping: s.gateway.ping, Data: told,
	}
}

// joinOwn puts the session on the channels that are its user's from the start:
// the personal one, and those that the Principal names. That the backend has put a
// name there is the permission, whatever the channel's rule says, but nobody gets
// onto another's personal channel. What the client is to hear of each is collected, or,
// without a place for it, told. On an error the session may be on some.
func (s *Session) joinOwn(ctx context.Context, cursors map[string]string, collected *[]Subscribed) (err error) {
	var joins []*join
	add := func(names []string, unseen bool) {
		for _, name := range names {
			if s.grant(name, time.Time{}) {
				continue
			}
			j := s.newJoin(Subscribed{Channel: name, Unseen: unseen})
			j.Members, j.collected = unseen, collected
			if j.readCursor(cursors[name]); j.Err == nil {
				s.reserveFor(j, terms{Terms: hub.Terms{Unseen: unseen}, granted: true})
			}
			joins = append(joins, j)
		}
	}
	add(s.ownChannels(), false)
	add(s.watched(), true)
	s.makeLive(ctx, joins)
	for _, j := range joins {
		s.enter(ctx, j)
		err = cmp.Or(err, j.Err)
	}
	return err
}

// ownChannels returns the channels that the session is on because of its user and token.
// The client hears of a name that is refused, and the session lives: otherwise a token
// with a mistake in it could never open one. A session that is alone with its channels
// gets none: the request that opened it has named all that it is to hear.
func (s *Session) ownChannels() (names []string) {
	if s.alone {
		return nil
	}
	p := s.who()
	if p.User != "" {
		names = append(names, rules.PersonalChannel(p.User))
	}
	for _, name := range p.Channels {
		if err := checkClaim(p, name); err != nil {
			s.mention(Failure{Channel: name, Code: err.Code, Message: err.Message})
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
func (s *Session) watched() (names []string) {
	p := s.who()
	for _, user := range p.Watched {
		if name := rules.OnlineChannel(user); !s.alone && user != p.User && rules.CheckChannel(name) == nil {
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
