package gateway

import (
	"context"
	"encoding/json"
	"slices"
	"time"
)

// Gate decides on what a session's client shows: signatures, tokens of channels. A
// protocol whose clients have credentials of their own brings one for each session
// (Hello.Gate). It refuses by an *Error. The rules decide as well, after it; the gate
// can say of a channel that it is one which the client's token names. All methods may
// be called concurrently.
type Gate interface {
	// SignIn returns whom an Auth shows the client to be.
	SignIn(context.Context, Auth) (Principal, error)

	// Admit returns how the client may come to the channel.
	Admit(context.Context, Subscribe) (Admission, error)
}

// Admission is how a client may come to a channel. With the zero Admission it comes as
// whom the session acts as, and the rules decide alone.
type Admission struct {
	Named bool      // the channel is one that the client's token names (rules.Token)
	As    *Identity // who the client is on the channel; nil: who the session is
	Until time.Time // when the subscription ends, unless a Renew puts it off; zero: with the session

	by *TokenInfo // the token that admits, which may be revoked; guarded by the session's mu once it has a place; nil: none
}

// Identity is who a client is on a channel: in presence, in counts, to the rules, and as
// the publisher of messages.
type Identity struct {
	User string
	Info json.RawMessage // nil: none
}

// renew puts the end of a subscription off, if the gate admits it anew.
func (s *Session) renew(ctx context.Context, c Renew) error {
	name := s.channelOf(c.Channel)
	a, err := s.admitTo(ctx, Subscribe{ID: c.ID, Token: c.Token, Data: c.Data}, name)
	if err != nil {
		return err
	}
	if a == nil {
		return failf(BadRequest, "what is shown does not admit to %q", name)
	}
	if err := s.putOff(name, a); err != nil {
		return err
	}
	if s.gateway.revokes(s, a) {
		s.leaveRevoked() // who revoked it may have looked before
		return nil
	}
	s.gateway.expireSoon(s, a.Until)
	s.tell(Renewed{ID: c.ID, Channel: name, Expires: a.Until})
	return nil
}

func (s *Session) putOff(name string, a *Admission) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, found := s.place(name)
	if !found {
		return failf(NotFound, "the session is not subscribed to %q", name)
	}
	sub := s.subscriptions[at]
	if was := sub.admission; a.As != nil && (was == nil || was.As == nil || was.As.User != a.As.User) {
		return failf(Forbidden, "a subscription keeps its user: subscribe anew to be another one on %q", name)
	}
	sub.take(a)
	return nil
}

// show is called with the session's mu held, when a Subscribe comes to a place that the
// session has: if something was shown with it, that counts from now on.
func (sub *subscription) show(a *Admission) {
	if a != nil && !sub.granted {
		sub.take(a)
	}
}

// take has the subscription rest on what was shown last. It is called with the session's
// mu held.
func (sub *subscription) take(a *Admission) {
	sub.setEnd(a.Until)
	if was := sub.admission; was != nil && was.by != nil && a.by != nil {
		*was.by = *a.by
	}
}

// endOf returns when a subscription ends; zero: with the session.
func (s *Session) endOf(sub *subscription) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub.end == 0 {
		return time.Time{}
	}
	return time.Unix(0, sub.end)
}

// setEnd is called with the session's mu held.
func (sub *subscription) setEnd(end time.Time) {
	sub.end = 0
	if !end.IsZero() {
		sub.end, sub.session.ends = end.UnixNano(), true
	}
}

// nextEnd returns when the session's token ends, or one of its subscriptions, if that
// is sooner; zero: never.
func (s *Session) nextEnd() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.principal.Expires
	if !s.ends {
		return next
	}
	for _, sub := range s.subscriptions {
		if end := time.Unix(0, sub.end); sub.end != 0 && (next.IsZero() || end.Before(next)) {
			next = end
		}
	}
	return next
}

// leaveEnded takes the session off the channels on which its time is over.
func (s *Session) leaveEnded() {
	now := time.Now().UnixNano()
	for _, sub := range s.dropIf(func(sub *subscription) bool { return sub.end != 0 && sub.end <= now }) {
		s.gateway.hub.Release(&sub.Subscription)
		s.tell(Unsubscribed{Channel: sub.Channel(), Code: Unauthenticated, Reason: "the subscription's token has expired", Expired: true})
	}
}

// dropIf gives up the places that are over, and returns them. It calls over with the
// session's mu held.
func (s *Session) dropIf(over func(*subscription) bool) (dropped []*subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subscriptions = slices.DeleteFunc(s.subscriptions, func(sub *subscription) bool {
		gone := over(sub)
		if gone {
			dropped = append(dropped, sub)
		}
		return gone
	})
	return dropped
}

// admitTo asks the gate, or takes from the token of a channel, how the client may come to
// it. nil: as the zero Admission says.
func (s *Session) admitTo(ctx context.Context, c Subscribe, channel string) (*Admission, error) {
	switch {
	case s.gate == nil && c.Token == "":
		return nil, nil
	case s.gate == nil:
		return s.admitByToken(ctx, c.Token, channel)
	}
	c.Channel = channel
	a, err := s.gate.Admit(ctx, c)
	if err != nil || a == (Admission{}) {
		return nil, err
	}
	return &a, nil
}

// admitByToken admits the session's user to the channel that a token of it names.
func (s *Session) admitByToken(ctx context.Context, token, channel string) (*Admission, error) {
	if s.gateway.auth == nil {
		return nil, failf(Unauthenticated, "this gateway knows no tokens: configure auth.jwt")
	}
	by, err := s.gateway.auth.Authenticate(ctx, token)
	if err == nil {
		err = s.gateway.Admit(&by, s.remote)
	}
	p := s.who()
	switch {
	case err != nil:
		return nil, err
	case by.Token.Channel != channel:
		return nil, failf(Forbidden, "the token is not for %q", channel)
	case by.User != p.User:
		return nil, failf(Forbidden, "the token for %q is not for this user", channel)
	case by.Info == nil:
		by.Info = p.Info
	}
	return &Admission{Named: true, As: &Identity{by.User, by.Info}, Until: by.Expires, by: &by.Token}, nil
}

// applied returns p as it is on a channel to which it was admitted.
func (a *Admission) applied(p *Principal, channel string) *Principal {
	if a == nil {
		return p
	}
	on := *p
	if a.Named {
		on.Subscribe = append(on.Subscribe[:len(on.Subscribe):len(on.Subscribe)], channel)
	}
	if a.As != nil {
		on.User, on.Info = a.As.User, a.As.Info
	}
	return &on
}

// whoOn returns who the session acts as on a channel.
func (s *Session) whoOn(channel string) *Principal {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, found := s.place(channel)
	if !found {
		return s.principal
	}
	return s.subscriptions[at].admission.applied(s.principal, channel)
}
