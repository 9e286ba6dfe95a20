package gateway

import (
	"context"

	"tidegate/gateway/internal/hub"
	"tidegate/gateway/internal/outbox"
)

// gather carries out a subscribe together with others. They are answered in the order of
// arrival. What waits is held on behalf of the client; while there is no room for more, gather
// returns only when the subscribe has been answered. It must not be called concurrently.
func (s *Session) gather(c Subscribe) {
	budget, payer := s.gateway.Budget, s.Payer()
	if budget.Hold(payer, c.size()) != nil {
		s.awaitGathered()
		s.subscribeAll(s.gateway.life, []Subscribe{c}, s.concludeSubscribe)
		return
	}
	if s.gathered.Load().add(c) {
		return
	}
	s.awaitGathered()
	g := newGathering(c)
	s.gathered.Store(g)
	s.goOn(func() {
		defer close(g.done)
		defer s.gathered.CompareAndSwap(g, nil)
		defer func() { budget.LetGo(payer, g.end()) }()
		for commands := g.take(nil); len(commands) > 0; commands = g.take(commands) {
			s.subscribeAll(s.gateway.life, commands, func(c Subscribe, err error) {
				s.concludeSubscribe(c, err)
				g.answered(c.size())
				budget.LetGo(payer, c.size())
			})
		}
	})
}

// awaitGathered waits until all gathered subscribes have been answered.
func (s *Session) awaitGathered() {
	if g := s.gathered.Load(); g != nil {
		<-g.done
	}
}

// subscribeAll subscribes the session to channels, as many at a time as possible, and replies.
// It calls concluded for each command, in order; after an error the session is on the channel
// only if it was before, or another join puts it there, and the client has yet to be told.
func (s *Session) subscribeAll(ctx context.Context, commands []Subscribe, concluded func(Subscribe, error)) {
	before := s.gateway.rules.Load()
	for len(commands) > 0 {
		joins := s.prepareJoins(ctx, commands)
		joins.makeLive(ctx, s.gateway.hub)
		for i, j := range joins {
			if j.Members && j.Err == nil {
				s.awaitList(ctx, outbox.StallPatience) // afterwards the client counts as too slow
			}
			j.enter(ctx)
			concluded(commands[i], j.Err)
		}
		commands = commands[len(joins):]
	}
	if s.gateway.rules.Load() != before {
		s.reauthorize() // SetRules may have run before the session was on the channels
	}
}

// prepareJoins begins joins for the leading commands with different channels.
func (s *Session) prepareJoins(ctx context.Context, commands []Subscribe) joins {
	joins := make(joins, 0, len(commands))
	for _, c := range commands {
		c.Channel = s.special.channelOf(c.Channel)
		if joins.are(c.Channel) {
			break
		}
		j := newJoin(s, Subscribed{ID: c.ID, Asked: true, Channel: c.Channel}, c.Cursor)
		j.prepare(ctx, c)
		joins = append(joins, j)
	}
	return joins
}

// prepare asks for permission to join a channel and reserves a subscription.
func (j *join) prepare(ctx context.Context, c Subscribe) {
	j.Recent, j.Members, j.Whole, j.Dialect = max(c.Recent, 0), c.Members, c.Whole, j.session.dialect.ofChannels
	if c.Deltas {
		j.Dialect = j.Dialect.Deltas()
	}
	if j.Err != nil {
		return
	}
	admission, err := j.ask(ctx, c)
	if j.Err = err; err == nil {
		j.reserve(terms{Terms: hub.Terms{NoEcho: c.NoEcho}, admission: admission})
	}
	if j.Err == nil {
		j.Err = j.session.gateway.Denials.check(admission) // a concurrent denial may have missed the admission
	}
}

// ask returns the conditions under which the session may join the channel, and puts the
// backend's data for the client into the reply.
func (j *join) ask(ctx context.Context, c Subscribe) (*Admission, error) {
	s := j.session
	a, err := s.admitTo(ctx, c)
	if err != nil {
		return nil, err
	}
	q, err := s.gateway.askSubscribe(ctx, a.applied(s.who(), c.Channel), s, c)
	j.reply.Data = q.Told
	if err == nil && q.Info != nil {
		a, err = a.showing(s.who(), q.Info)
	}
	return a, err
}

// join subscribes the session to a channel and replies. After an error the session is on it only
// if it was before, or another join puts it there.
func (s *Session) join(ctx context.Context, reply Subscribed, cursor string, t terms) error {
	j := newJoin(s, reply, cursor)
	if j.Err == nil {
		j.reserve(t)
	}
	joins{j}.makeLive(ctx, s.gateway.hub)
	j.enter(ctx)
	return j.Err
}
