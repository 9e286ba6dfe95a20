package gateway

import (
	"context"
	"encoding/json"
	"slices"

	"tidegate/broker"
	"tidegate/gateway/internal/hub"
)

// mostGathered is how many subscribes wait. The next one waits for all of them.
const mostGathered = 256

// gather has a subscribe done, together with others, and answered in the order in
// which they came. Calls must not overlap.
func (s *Session) gather(c Subscribe) {
	for !s.gatherOne(c) {
		s.awaitGathered()
	}
}

func (s *Session) gatherOne(c Subscribe) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gathered == nil {
		g := &gatheredSubscribes{done: make(chan struct{})}
		s.gathered = g
		s.goOn(func() { s.subscribeGathered(g) })
	}
	if len(s.gathered.waiting) == mostGathered {
		return false
	}
	s.gathered.waiting = append(s.gathered.waiting, c)
	return true
}

// awaitGathered returns when all that was gathered is answered.
func (s *Session) awaitGathered() {
	s.mu.Lock()
	g := s.gathered
	s.mu.Unlock()
	if g != nil {
		<-g.done
	}
}

func (s *Session) subscribeGathered(g *gatheredSubscribes) {
	defer s.endGathered(g)
	var done []Subscribe
	for {
		s.mu.Lock()
		commands := g.waiting
		g.waiting = done[:0]
		if len(commands) == 0 {
			s.gathered = nil
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		s.subscribeAll(s.gateway.life, commands, func(c Subscribe, err error) { s.conclude(c, err) })
		clear(commands)
		done = commands
	}
}

// endGathered wakes those that wait for g, also if it ends by a panic.
func (s *Session) endGathered(g *gatheredSubscribes) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gathered == g {
		s.gathered = nil
	}
	close(g.done)
}

// subscribeAll puts the session on channels, on as many together as can be, and
// answers. For each, in order, it calls concluded; on an error the session is not
// on the channel, and the client is not told yet.
func (s *Session) subscribeAll(ctx context.Context, commands []Subscribe, concluded func(Subscribe, error)) {
	before := s.gateway.rules.Load()
	for len(commands) > 0 {
		joins := s.prepareJoins(ctx, commands)
		s.makeLive(ctx, joins)
		for i, j := range joins {
			s.enter(ctx, j)
			concluded(commands[i], j.Err)
		}
		commands = commands[len(joins):]
	}
	if s.gateway.rules.Load() != before {
		s.reauthorize() // SetRules may have looked before the session was on the channels
	}
}

// prepareJoins begins as many as are for different channels: one that is named
// twice would be locked twice.
func (s *Session) prepareJoins(ctx context.Context, commands []Subscribe) []*join {
	joins := make([]*join, 0, len(commands))
	for _, c := range commands {
		name := s.channelOf(c.Channel)
		if slices.ContainsFunc(joins, func(j *join) bool { return j.Err == nil && j.reply.Channel == name }) {
			break
		}
		joins = append(joins, s.prepareJoin(ctx, c, name))
	}
	return joins
}

func (s *Session) prepareJoin(ctx context.Context, c Subscribe, name string) *join {
	j := s.newJoin(Subscribed{ID: c.ID, Asked: true, Channel: name})
	j.Recent, j.Members, j.Dialect = max(c.Recent, 0), c.Members, s.dialect.ofChannels
	if c.Deltas {
		j.Dialect = j.Dialect.Deltas()
	}
	if j.readCursor(c.Cursor); j.Err != nil {
		return j
	}
	c.Channel = name
	admission, told, err := s.admit(ctx, c)
	if j.Err, j.reply.Data = err, told; err == nil {
		s.reserveFor(j, terms{Terms: hub.Terms{NoEcho: c.NoEcho}, admission: admission})
	}
	if d := s.gateway.Denials.ofAdmission(admission); j.Err == nil && d != nil { // who forbade it may have looked before
		j.Err = deniedBy(d)
	}
	return j
}

// admit asks for the session's way onto a channel, and returns what the client is told with
// it.
func (s *Session) admit(ctx context.Context, c Subscribe) (a *Admission, told json.RawMessage, err error) {
	if a, err = s.admitTo(ctx, c, c.Channel); err != nil {
		return nil, nil, err
	}
	q, err := s.gateway.askSubscribe(ctx, a.applied(s.who(), c.Channel), s, c)
	if err == nil && q.Info != nil {
		a, err = s.showing(a, q.Info)
	}
	return a, q.Told, err
}

// showing returns an admission by which an info is shown on the channel.
func (s *Session) showing(a *Admission, info json.RawMessage) (*Admission, error) {
	as, err := s.who().identity(info)
	if err != nil {
		return nil, err
	}
	var shown Admission
	if a != nil {
		shown = *a
	}
	if shown.As != nil {
		as.User = shown.As.User
	}
	shown.As = as
	return &shown, nil
}

func (s *Session) newJoin(reply Subscribed) *join {
	j := &join{session: s, reply: reply}
	j.Of = j
	return j
}

func (j *join) readCursor(cursor string) {
	if j.Cursor, j.Err = broker.ParsePosition(cursor); j.Err != nil {
		j.Err = failf(BadRequest, "%v", j.Err)
	}
}

func (s *Session) reserveFor(j *join, t terms) {
	if j.sub, j.Err = s.reserve(j.reply.Channel, t); j.Err != nil {
		return
	}
	j.Sub = &j.sub.Subscription
	if t.admission != nil {
		j.sub.Recount() // it may have been there, and shown otherwise
	}
	j.reply.Expires = s.endOf(j.sub)
	s.gateway.expireSoon(s, j.reply.Expires)
	j.Begin()
}

// makeLive has the broker deliver what the session has places on.
func (s *Session) makeLive(ctx context.Context, joins []*join) {
	ready := make([]*hub.Join, 0, len(joins))
	for _, j := range joins {
		if j.Err == nil {
			ready = append(ready, &j.Join)
		}
	}
	s.gateway.hub.MakeLive(ctx, ready)
}

// enter puts the session on a channel that is live, and answers.
func (s *Session) enter(ctx context.Context, j *join) {
	if j.Err == nil {
		j.Enter(ctx)
	}
	if j.Err != nil && j.sub != nil {
		s.abandon(j.sub)
	}
}

// join puts the session on a channel and answers. On an error it is not on it.
func (s *Session) join(ctx context.Context, reply Subscribed, cursor string, t terms) error {
	j := s.newJoin(reply)
	if j.readCursor(cursor); j.Err != nil {
		return j.Err
	}
	j.unplaced = t.unplaced
	if s.reserveFor(j, t); j.Err == nil {
		s.makeLive(ctx, []*join{j})
	}
	s.enter(ctx, j)
	return j.Err
}

// abandon takes the session off a channel that it could not join, unless that has
// happened meanwhile.
func (s *Session) abandon(sub *subscription) {
	if s.dropOne(sub) {
		s.gateway.hub.Release(&sub.Subscription)
	}
}
