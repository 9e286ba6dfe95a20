package gateway

import (
	"context"
	"encoding/json"
	"time"
)

// Gate decides on what a session's client shows: signatures, tokens of channels. A
// protocol whose clients have credentials of their own brings one (Hello.Gate), which
// sessions may share: it is told the ID of the one that asks. It refuses by an *Error.
// The rules decide as well, after it; the gate can say of a channel that it is one which
// the client's token names. All methods may be called concurrently.
type Gate interface {
	// SignIn returns whom an Auth shows the client to be.
	SignIn(ctx context.Context, session string, a Auth) (Principal, error)

	// Admit returns how the client may come to the channel.
	Admit(ctx context.Context, session string, s Subscribe) (Admission, error)
}

// Admission is how a client may come to a channel. With the zero Admission it comes as
// whom the session acts as, and the rules decide alone.
type Admission struct {
	Named bool      // the channel is one that the client's token names (rules.Token)
	As    *Identity // who the client is on the channel; nil: who the session is
	Until time.Time // when the subscription ends, unless a Renew puts it off; zero: with the session

	by *TokenInfo // the token that admits, which may be revoked; guarded by places.mu once it has a place; nil: none
}

// Identity is who a client is on a channel: in presence, in counts, to the rules, and as
// the publisher of messages.
type Identity struct {
	User string
	Info json.RawMessage // nil: none

	// Elsewhere is the Info on other channels, where Info is of this one alone: null if
	// there is none; nil: Info itself.
	Elsewhere json.RawMessage
}

// identity returns who p is on a channel where an info of its own is shown; nil: p's info
// is. Both together are bounded as one.
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

// showing returns an admission of p by which an info is shown on the channel.
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
		on.User, on.Info, on.Elsewhere = a.As.User, a.As.Info, a.As.Elsewhere
	}
	return &on
}
