// Package auth implements [gateway.Authenticator] for API keys and JSON Web Tokens.
//
// An [Auth] first compares a credential with the API keys. If none matches, it verifies the
// credential as a token. The signature must be made by a key that the operator trusts, with an
// algorithm for that kind of key, and the claims must fit the issuer, the audience and the time.
// The token cannot choose a key of its own: the headers jwk, jku, x5u and x5c are ignored.
package auth

import (
	"cmp"
	"context"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"tidegate/gateway"
	"tidegate/gateway/internal/wall"
)

// Config configures an Auth. The zero value accepts no credential.
type Config struct {
	Keys []APIKey
	JWT  JWT

	// Failed is called with the label of each refusal (see FailureLabel), for a
	// counter. It may be nil.
	Failed func(label string)
	// Panicked is called for each panic that was recovered in the background. It may be nil.
	Panicked func()
	Log      *slog.Logger // may be nil
}

// Auth is a gateway.Authenticator. All methods are safe for concurrent use.
type Auth struct {
	// Fixed at birth.
	failed func(label string)
	wall   *wall.Wall

	trust    atomic.Pointer[trust]
	reloaded chan struct{} // wakes Run after SetConfig
}

var _ gateway.Authenticator = (*Auth)(nil)

// trust is the processed form of a Config. It is immutable.
type trust struct {
	apiKeys  apiKeys
	verifier *verifier // nil if no token is accepted
}

// New returns an Auth, or an error that says what is wrong with the config and how to
// correct it. It does not wait for a JWKS host.
func New(c Config) (*Auth, error) {
	log := cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	a := &Auth{failed: c.Failed, wall: &wall.Wall{Log: log, Count: c.Panicked}, reloaded: make(chan struct{}, 1)}
	if a.failed == nil {
		a.failed = func(string) {}
	}
	trust, err := a.newTrust(c)
	if err != nil {
		return nil, err
	}
	a.trust.Store(trust)
	return a, nil
}

// SetConfig replaces the keys and the JWT settings for all later credentials. Failed,
// Panicked and Log stay. On an error, nothing changes. The keys of a JWKS are kept if its
// settings are the same.
func (a *Auth) SetConfig(c Config) error {
	trust, err := a.newTrust(c)
	if err != nil {
		return err
	}
	a.trust.Store(trust)
	select {
	case a.reloaded <- struct{}{}:
	default: // Run is already due to wake
	}
	return nil
}

// Holds reports whether Authenticate would still return p for the API key for which it once
// returned p. For the principal of a token it always returns true.
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

// Authenticate returns the principal of an API key or a token. Every error wraps a
// *gateway.Error, which says what to do and contains nothing of the credential, and has a
// FailureLabel. Authenticate blocks only if the token's key is unknown and the JWKS must be
// fetched, and then for a bounded time.
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
	switch {
	case t.verifier == nil:
		return gateway.Principal{}, refuse(unknownKey, "the credential is no API key of this gateway, which accepts no JWT (set auth.jwt to change that)")
	case strings.Count(credential, ".") != 2:
		return gateway.Principal{}, refuse(unknownKey, "the credential is neither an API key of this gateway nor a JWT")
	}
	return t.verifier.verify(ctx, credential)
}

// Run refreshes the JWKS. It blocks until ctx ends and then returns nil.
func (a *Auth) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		a.keepFresh(ctx)
	}
	return nil
}

// keepFresh returns when ctx ends or the config changes.
func (a *Auth) keepFresh(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	if source := a.jwks(); source != nil {
		running.Go(func() { source.run(ctx) })
	}
	select {
	case <-ctx.Done():
	case <-a.reloaded:
	}
	cancel()
	running.Wait()
}

// jwks returns the JWKS in use, or nil.
func (a *Auth) jwks() *jwks {
	if t := a.trust.Load(); t != nil && t.verifier != nil {
		return t.verifier.remote
	}
	return nil
}
