package gateway

import (
	"context"

	"tidegate/broker"
	"tidegate/gateway/internal/hub"
)

// join is a session's attempt to join a channel.
type join struct {
	hub.Join
	session *Session
	sub     *subscription // nil: it could not be reserved
	reply   Subscribed

	unplaced bool // the client is not told its position

	collected *[]Subscribed // collects the reply; nil: it is sent to the client
}

// joins are attempts to join different channels.
type joins []*join

var _ hub.Joiner = (*join)(nil)

func newJoin(s *Session, reply Subscribed, cursor string) *join {
	j := &join{session: s, reply: reply}
	j.Of = j
	if j.Cursor, j.Err = broker.ParsePosition(cursor); j.Err != nil {
		j.Err = failf(BadRequest, "%v", j.Err)
	}
	return j
}

// reserve adds a subscription for the channel, unless the session has one already.
func (j *join) reserve(t terms) {
	s, name := j.session, j.reply.Channel
	h, limits := s.gateway.hub, &s.gateway.limits
	j.sub, j.Err = s.places.reserve(name, &t, limits.ChannelsPerSession, func() (*subscription, error) {
		sub, room := &subscription{session: s, admission: t.admission, granted: t.granted}, false
		if sub.Subscription, room = h.Reserve(name, sub, s.dialect.ofChannels, t.Terms); !room {
			return nil, failf(LimitExceeded, "the node has %d subscriptions, as many as limits.subscriptions allows", limits.Subscriptions)
		}
		return sub, nil
	})
	if j.Err != nil {
		return
	}
	j.Sub = &j.sub.Subscription
	if t.admission != nil {
		j.sub.Recount() // it may have existed, with a different identity
	}
	j.reply.Expires = s.places.endOf(j.sub)
	s.gateway.expireSoon(s, j.reply.Expires)
	j.Begin()
}

// makeLive makes the broker deliver the channels that have been reserved.
func (all joins) makeLive(ctx context.Context, h *hub.Hub) {
	ready := make([]*hub.Join, 0, len(all))
	for _, j := range all {
		if j.Err == nil {
			ready = append(ready, &j.Join)
		}
	}
	h.MakeLive(ctx, ready)
}

// enter puts the session on a channel that is live, and replies. If that fails, it removes the
// subscription, unless that has already happened.
func (j *join) enter(ctx context.Context) {
	if j.Err == nil {
		j.Enter(ctx)
	}
	if j.Err != nil && j.sub != nil && j.session.places.remove(j.sub) {
		j.session.gateway.hub.Release(j.Sub)
	}
}

// Reply returns a function that sends the Subscribed to the client, or collects it.
func (j *join) Reply(start hub.Start) (reply func() (said bool)) {
	r := &j.reply
	r.Resumed, r.Recovered, r.Position, r.After = start.Resumed, start.Recovered, start.Position, start.After
	r.Members = membersOf(start.Members)
	if j.unplaced {
		r.Position, r.After = broker.Position{}, broker.Position{}
	}
	if j.collected != nil {
		return func() bool {
			*j.collected = append(*j.collected, *r)
			return true
		}
	}
	frame, said := j.session.frameOf(*r)
	return func() bool {
		j.session.push(frame)
		return said
	}
}

// Say sends news of the channel to the client. It also notifies the backends that want to
// know when there is nothing recent.
func (j *join) Say(n hub.News) (said bool) {
	if n.Kind == hub.NothingRecent {
		j.noteNothingRecent()
	}
	frame, err := j.session.dialect.EncodeNews(&n)
	if d, due := hub.DismissalFor(frame, err); due {
		j.session.gateway.soon(ReasonOf(d.Why), func() { j.sub.Dismiss(d) })
		return false
	}
	j.session.push(frame.Data)
	return true
}

func (j *join) noteNothingRecent() {
	s, channel := j.session, j.reply.Channel
	if !s.who().Backend() && s.gateway.receivers.hear(OnNothingRecent, channel) {
		s.gateway.post(OnNothingRecent, broker.Notice{Channel: channel, User: j.sub.who().User, Session: s.id})
	}
}

// Turn returns what limits the history reads of the session's client.
func (j *join) Turn() hub.Turn { return j.session.reader() }

// WhenAttached calls goOn, in a new goroutine, once the session has its connection.
func (j *join) WhenAttached(goOn func()) {
	s := j.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out.Attached() {
		s.goOn(goOn)
		return
	}
	if s.waiting == nil {
		s.waiting = new([]func())
	}
	*s.waiting = append(*s.waiting, goOn)
}

// goOnAttached starts what has waited for the session's connection.
func (s *Session) goOnAttached() {
	s.mu.Lock()
	waiting := s.waiting
	s.waiting = nil
	s.mu.Unlock()
	if waiting == nil {
		return
	}
	for _, goOn := range *waiting {
		s.goOn(goOn)
	}
}
