package gateway

import (
	"context"
	"encoding/json"
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
}

// Identity is who a client is on a channel: in presence, in counts, to the rules, and as
// the publisher of messages.
type Identity struct {
	User string
	Info json.RawMessage // nil: none
}

// admitTo asks the gate, if there is one, how the client may come to a channel.
// nil: as the zero Admission says.
func (s *Session) admitTo(ctx context.Context, c Subscribe, channel string) (*Admission, error) {
	if s.gate == nil {
		return nil, nil
	}
	c.Channel = channel
	a, err := s.gate.Admit(ctx, c)
	if err != nil || a == (Admission{}) {
		return nil, err
	}
	return &a, nil
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

// who returns who the subscription's client is.
func (sub *subscription) who() Identity {
	if a := sub.admission; a != nil && a.As != nil {
		return *a.As
	}
	p := sub.session.who()
	return Identity{p.User, p.Info}
}
