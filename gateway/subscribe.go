package gateway

import (
	"context"
	"slices"

	"tidegate/broker"
	"tidegate/gateway/internal/timeline"
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
	for {
		s.mu.Lock()
		commands := g.waiting
		g.waiting = nil
		if len(commands) == 0 {
			s.gathered = nil
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		s.subscribeAll(s.gateway.life, commands, func(c Subscribe, err error) { s.conclude(c, err) })
	}
}

// endGathered lets go on who waits for g, also if it ends by a panic.
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
			concluded(commands[i], j.err)
		}
		commands = commands[len(joins):]
	}
	if s.gateway.rules.Load() != before {
		s.reauthorize() // SetRules may have looked before the session was on the channels
	}
}

// join is a session's way onto a channel.
type join struct {
	arrival
	sub     *subscription // nil: there was no place for it
	reply   Subscribed
	cursor  broker.Position
	recent  int
	members bool
	dialect *dialect         // by which it is told messages; nil: as before
	from    *timeline.Reader // nil: it wants nothing of the history

	collected *[]Subscribed // where the reply goes; nil: to the client
}

// prepareJoins begins as many as are for different channels: one that is named
// twice would be locked twice.
func (s *Session) prepareJoins(ctx context.Context, commands []Subscribe) []*join {
	joins := make([]*join, 0, len(commands))
	for _, c := range commands {
		name := s.channelOf(c.Channel)
		if slices.ContainsFunc(joins, func(j *join) bool { return j.err == nil && j.reply.Channel == name }) {
			break
		}
		joins = append(joins, s.prepareJoin(ctx, c, name))
	}
	return joins
}

func (s *Session) prepareJoin(ctx context.Context, c Subscribe, name string) *join {
	j := &join{recent: max(c.Recent, 0), members: c.Members, reply: Subscribed{ID: c.ID, Asked: true, Channel: name}}
	if j.dialect = s.dialect; c.Deltas {
		j.dialect = s.dialect.full
	}
	if j.readCursor(c.Cursor); j.err != nil {
		return j
	}
	admission, err := s.admitTo(ctx, c, name)
	if err == nil {
		err = s.gateway.permit(ctx, admission.applied(s.who(), name), s, ToSubscribe, name)
	}
	if j.err = err; err == nil {
		s.reserveFor(j, terms{noEcho: c.NoEcho, admission: admission})
	}
	if j.err == nil && s.gateway.revokes(s, admission) { // who revoked it may have looked before
		j.err = failf(Unauthenticated, "the token for %q was revoked", name)
	}
	return j
}

func (j *join) readCursor(cursor string) {
	if j.cursor, j.err = broker.ParsePosition(cursor); j.err != nil {
		j.err = failf(BadRequest, "%v", j.err)
	}
}

func (s *Session) reserveFor(j *join, t terms) {
	var fresh bool
	if j.sub, fresh, j.err = s.reserve(j.reply.Channel, t); j.err != nil {
		return
	}
	j.ch = j.sub.channel
	j.reply.Expires = s.endOf(j.sub)
	s.gateway.expireSoon(s, j.reply.Expires)
	if j.from = j.ch.readerFor(j.cursor, j.recent); j.from != nil && !fresh {
		j.ch.stepOut(j.sub)
	}
}

// makeLive has the broker deliver what the session has places on.
func (s *Session) makeLive(ctx context.Context, joins []*join) {
	arrivals := make([]*arrival, 0, len(joins))
	for _, j := range joins {
		if j.err == nil {
			arrivals = append(arrivals, &j.arrival)
		}
	}
	s.gateway.hub.subscribeLive(ctx, arrivals)
}

// reply sends the reply to a subscribe, or collects it. It reports false as say does.
func (s *Session) reply(e Subscribed, collected *[]Subscribed) (said bool) {
	if collected != nil {
		*collected = append(*collected, e)
		return true
	}
	return s.say(e)
}

// enter puts the session on a channel that is live, and answers.
func (s *Session) enter(ctx context.Context, j *join) {
	if j.err == nil {
		j.err = j.ch.enter(ctx, j)
	}
	if j.err != nil && j.sub != nil {
		s.abandon(j.sub)
	}
}

// join puts the session on a channel and answers. On an error it is not on it.
func (s *Session) join(ctx context.Context, reply Subscribed, cursor string, t terms) error {
	j := &join{reply: reply}
	if j.readCursor(cursor); j.err != nil {
		return j.err
	}
	if s.reserveFor(j, t); j.err == nil {
		s.makeLive(ctx, []*join{j})
	}
	s.enter(ctx, j)
	return j.err
}

// abandon takes the session off a channel that it could not join, unless that has
// happened meanwhile.
func (s *Session) abandon(sub *subscription) {
	if s.dropOne(sub) {
		s.gateway.forget(sub)
	}
}
