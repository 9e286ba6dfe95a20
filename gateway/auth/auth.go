// Package auth finds out whose a credential is: it is the [gateway.Authenticator] of
// API keys and JSON Web Tokens.
//
// An [Auth] compares a credential with the API keys first. One that is none of
// them is taken for a token: its signature must fit a key that the operator
// trusts, its algorithm that kind of key, and its claims the issuer, the
// audience and the time. Nothing that a token says of itself chooses a key: the
// headers jwk, jku, x5u and x5c are not read.
package auth

import (
	"context"
	"log/slog"
	"reflect"
	"slices"
	"sync/atomic"

	"tidegate/gateway"
	"tidegate/gateway/internal/wall"
)

// Config is what an Auth trusts. The zero value trusts nobody.
type Config struct {
	Keys []APIKey
	JWT  JWT

	// Failed is told the label of each refusal (see FailureLabel), for a
	// counter; nil: nobody is.
	Failed func(label string)
	// Panicked is told of each panic that was stopped in the background; nil:
	// nobody is.
	Panicked func()
	Log      *slog.Logger // nil: no log
}

// Auth is a gateway.Authenticator. All methods may be called concurrently.
type Auth struct {
	// Fixed at birth.
	failed func(label string)
	wall   *wall.Wall

	trust    atomic.Pointer[trust]
	reloaded chan struct{} // wakes Run: there is another trust
}

var _ gateway.Authenticator = (*Auth)(nil)

// trust is what one Config comes to. It does not change.
type trust struct {
	apiKeys  apiKeys
	verifier *verifier // nil: no token is accepted
}

// New returns an Auth, or what is wrong with the config and how to mend it. It
// does not wait for a JWKS host.
func New(c Config) (*Auth, error) {
	a := &Auth{failed: c.Failed, wall: &wall.Wall{Log: c.Log, Count: c.Panicked}, reloaded: make(chan struct{}, 1)}
	if a.failed == nil {
		a.failed = func(string) {}
	}
	if a.wall.Log == nil {
		a.wall.Log = slog.New(slog.DiscardHandler)
	}
	trust, err := a.newTrust(c)
	if err != nil {
		return nil, err
	}
	a.trust.Store(trust)
	return a, nil
}

// SetConfig replaces the keys and the JWT settings for every credential from
// now on; Failed, Panicked and Log stay. On an error nothing is changed. What is known of
// a JWKS is kept if its settings are the same.
func (a *Auth) SetConfig(c Config) error {
	trust, err := a.newTrust(c)
	if err != nil {
		return err
	}
	a.trust.Store(trust)
	select {
	case a.reloaded <- struct{}{}:
	default: // Run has not seen the last one yet
	}
	return nil
}

// Holds reports whether Authenticate would return p again for the API key for which it has
// returned it. Principals of tokens it knows nothing of: it holds them all.
func (a *Auth) Holds(p gateway.Principal) bool {
	same := func(k hashedKey) bool { return reflect.DeepEqual(k.principal(), p) }
	return !p.Backend() || slices.ContainsFunc(a.trust.Load().apiKeys, same)
}

func (a *Auth) newTrust(c Config) (*trust, error) {
	keys, err := hashKeys(c.Keys)
	if err != nil {
		return nil, err
	}
	verifier, err := newVerifier(c.JWT, a.jwks(), a.wall)
	if err != nil {
		return nil, err
	}
	return &trust{apiKeys: keys, verifier: verifier}, nil
}

// Authenticate returns the principal of an API key or a token. Every error
// wraps a *gateway.Error that says what to do and repeats nothing of the
// credential, and has a FailureLabel. It waits, for a bounded time, only if the
// token's key is not known yet and the JWKS is fetched for it.
func (a *Auth) Authenticate(ctx context.Context, credential string) (gateway.Principal, error) {
	p, err := a.trust.Load().authenticate(ctx, credential)
	if err != nil {
		a.failed(FailureLabel(err))
		return gateway.Principal{}, err
	}
	return p, nil
}

func (t *trust) authenticate(ctx context.Context, credential string) (gateway.Principal, error) {
	if len(credential) > maxCredential {
		return gateway.Principal{}, refuse(tooLong, "the token has %d bytes: at most %d are accepted", len(credential), maxCredential)
	}
	if key := t.apiKeys.find(credential); key != nil {
		return key.principal(), nil
	}
	if t.verifier == nil {
		return gateway.Principal{}, refuse(unknownKey, "the credential is no API key of this gateway, which accepts no JWT (set auth.jwt to change that)")
	}
	if !looksLikeToken(credential) {
		return gateway.Principal{}, refuse(unknownKey, "the credential is neither an API key of this gateway nor a JWT")
	}
	return t.verifier.verify(ctx, credential)
}

// Run keeps the JWKS fresh. It blocks until ctx ends and returns nil then.
func (a *Auth) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		a.keepFresh(ctx)
	}
	return nil
}

// keepFresh returns when ctx ends or the config is another.
func (a *Auth) keepFresh(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if source := a.jwks(); source != nil {
			source.run(ctx)
		}
	}()
	select {
	case <-ctx.Done():
	case <-a.reloaded:
	}
	cancel()
	<-done
}

// jwks returns the source of keys in use, or nil.
func (a *Auth) jwks() *jwks {
	if t := a.trust.Load(); t != nil && t.verifier != nil {
		return t.verifier.remote
	}
	return nil
}
