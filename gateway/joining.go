package gateway

import (
	"context"
	"errors"
	"slices"

	"tidegate/broker"
	"tidegate/gateway/internal/hub"
)

// join is a session's attempt to join a channel.
type join struct {
	hub.Join
	session *Session
	sub     *subscription // nil: it could not be reserved
	terms   terms
	reply   Subscribed
	frame   []byte // the encoded reply, until it is sent
	said    bool   // the protocol could encode it

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
	j.terms = t
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
	s.gateway.expireSoon(s, s.places.endOf(j.sub))
	j.Begin()
}

// are reports whether one of the joins that have not failed is of the channel. makeLive must not
// be given two joins of one channel: it would lock the channel twice.
func (all joins) are(channel string) bool {
	return slices.ContainsFunc(all, func(j *join) bool { return j.Err == nil && j.reply.Channel == channel })
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

// enter puts the session on a channel that is live, and replies. If that fails, a subscription
// that the session had before goes on, with the latest admission, and a new one is removed.
func (j *join) enter(ctx context.Context) {
	s := j.session
	if j.Err == nil {
		j.Enter(ctx)
	}
	if j.sub == nil {
		return
	}
	j.Err = s.places.explain(j.sub, j.Err)
	switch removed, owed := s.places.settle(j.sub, &j.terms); {
	case removed:
		s.gateway.hub.Release(j.Sub)
	case owed:
		s.goOn(j.redeem)
	case j.Err != nil:
		s.leaveForbidden() // the admission that it depends on now may be denied
	}
}

// redeem puts the session on a channel that was granted while the client, by j, was subscribing
// to it in vain. The backend has been told that the session is on it, so the session ends if
// that fails.
func (j *join) redeem() {
	s := j.session
	r := newJoin(s, Subscribed{Channel: j.reply.Channel}, "")
	r.sub, r.Sub, r.terms = j.sub, j.Sub, terms{granted: true}
	r.Begin()
	joins{r}.makeLive(s.gateway.life, s.gateway.hub)
	r.enter(s.gateway.life)
	if r.Err != nil && !errors.Is(r.Err, hub.ErrGone) {
		s.Close(Missed)
	}
}

// Encode completes the Subscribed and, unless it is to be collected, encodes it.
func (j *join) Encode(start hub.Start) {
	r := &j.reply
	r.Resumed, r.Recovered, r.Position, r.After = start.Resumed, start.Recovered, start.Position, start.After
	r.Members, r.Expires = membersOf(start.Members), j.session.places.endOf(j.sub)
	if len(r.Members) > 0 {
		j.session.reader().oweMembers(len(r.Members))
	}
	if j.terms.unplaced {
		r.Position, r.After = broker.Position{}, broker.Position{}
	}
	if j.collected == nil {
		j.frame, j.said = j.session.frameOf(*r)
	}
}

// Reply sends the Subscribed to the client, or collects it, unless the join must not be answered.
func (j *join) Reply() (said bool) {
	switch {
	case !j.session.places.enter(j.sub, j.terms.granted && !j.terms.fresh):
		return false
	case j.collected != nil:
		*j.collected = append(*j.collected, j.reply)
		return true
	}
	j.session.push(j.frame)
	j.frame = nil
	return j.said
}

// Say sends news of the channel to the client. It also notifies the backends that want to
// know when there is nothing recent.
func (j *join) Say(n hub.News) (said bool) {
	if s := j.session; n.Kind == hub.NothingRecent && !s.who().Backend() {
		s.gateway.notices.post(OnNothingRecent, broker.Notice{Channel: j.reply.Channel, User: j.sub.who().User, Session: s.id})
	}
	frame, err := j.session.dialect.EncodeNews(&n)
	if d, due := hub.DismissalFor(frame, err); due {
		j.session.gateway.soon(ReasonOf(d.Why), func() { j.sub.Dismiss(d) })
		return false
	}
	j.session.push(frame.Data)
	return true
}

// Turn returns what limits the history reads of the session's client.
func (j *join) Turn() hub.Turn { return j.session.reader() }

// GoOn runs goOn, the end of a resumption, with those of the session's other channels.
func (j *join) GoOn(number uint32, goOn func()) { j.session.later(rest{j.sub, number, goOn}) }
