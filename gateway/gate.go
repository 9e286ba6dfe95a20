package gateway

import (
	"context"
	"encoding/json"
	"time"
)

// Gate decides about the credentials of a session's client, such as signatures or channel
// tokens. A protocol whose clients have credentials of their own supplies one (Hello.Gate).
// Sessions may share a Gate: it gets the ID of the session that asks. It refuses with an
// *Error. After the gate, the rules decide as well; the gate can declare that the client's
// token names a channel. All methods must be safe for concurrent use.
type Gate interface {
	// SignIn returns the principal that an Auth proves the client to be.
	SignIn(ctx context.Context, session string, a Auth) (Principal, error)

	// Admit returns the conditions under which the client, which is by, may join the channel.
	Admit(ctx context.Context, session string, by *Principal, s Subscribe) (Admission, error)
}

// Admission is how a client may join a channel. With the zero Admission the client keeps the
// session's identity, and the rules alone decide.
type Admission struct {
	Named bool      // the client's token names the channel (rules.Token)
	As    *Identity // the client's identity on the channel; nil: that of the session
	Until time.Time // when the subscription ends unless it is renewed (Renew); zero: with the session

	by *TokenInfo // the admitting token, which may be revoked; nil: none. Guarded by places.mu once the session is on the channel
}

// Identity is a client's identity on a channel: in presence, in counts, to the rules, and as
// the publisher of messages.
type Identity struct {
	User string
	Info json.RawMessage // nil: none

	// Elsewhere is the Info on other channels, if Info is for this channel only: null if there
	// is none there; nil: the same as Info.
	Elsewhere json.RawMessage
}

// identity returns the Identity of p on a channel with an Info of its own there; nil stands
// for p's Info. MostInfo limits the size of both infos together.
func (p *Principal) identity(info json.RawMessage) (*Identity, error) {
	switch {
	case info == nil:
		return &Identity{User: p.User, Info: p.Info}, nil
	case len(info)+len(p.Info) > MostInfo:
		return nil, failf(LimitExceeded, "the info for the channel and that of the connection have %d bytes: at most %d are allowed", len(info)+len(p.Info), MostInfo)
	case p.Info == nil:
		return &Identity{p.User, info, json.RawMessage("null")}, nil
	}
	return &Identity{p.User, info, p.Info}, nil
}

// showing returns a copy of a, which may be nil, that shows the given info on the channel.
func (a *Admission) showing(p *Principal, info json.RawMessage) (*Admission, error) {
	as, err := p.identity(info)
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

// applied returns p as it acts on a channel to which a admits it.
func (a *Admission) applied(p *Principal, channel string) *Principal {
	if a == nil {
		return p
	}
	on := *p
	if a.Named {
		on.Subscribe = append(on.Subscribe[:len(on.Subscribe):len(on.Subscribe)], channel)
	}
	if a.As != nil {
		on.User, on.Info, on.Elsewhere = a.As.User, a.As.Info, a.As.Elsewhere
	}
	return &on
}
