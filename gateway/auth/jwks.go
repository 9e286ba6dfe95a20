package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/internal/pause"
	"tidegate/gateway/internal/wall"
)

// jwks is the JWK Set of an issuer, fetched from a URL. The last known set stays in use
// until the host returns another one, however long the host is away.
type jwks struct {
	// Fixed at birth.
	settings jwksSettings
	client   *http.Client
	wall     *wall.Wall

	known atomic.Pointer[keySet] // never nil; empty until the first successful fetch

	turn chan struct{} // of capacity 1; held by who fetches

	// Owned by who has the turn.
	fetched time.Time // when the last fetch ended; zero before the first
	err     error     // its error
}

type jwksSettings struct {
	url                     string
	refresh, pause, timeout time.Duration
}

type keySet struct {
	keys []key
	sum  [sha256.Size]byte // hash of the document
}

const maxJWKS = 1 << 20

// newClient returns a client that keeps no idle connections, since requests are minutes apart.
func newClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, MaxResponseHeaderBytes: maxJWKS},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if via[0].URL.Scheme == "https" && r.URL.Scheme != "https" {
				return errors.New("redirected from https to another scheme")
			}
			if len(via) > 3 {
				return errors.New("redirected more than 3 times")
			}
			return nil
		},
	}
}

// find returns the keys with the given id, or all keys if kid is empty. If there are none,
// it fetches the set, unless the last fetch was too recent.
func (j *jwks) find(ctx context.Context, kid string) ([]key, error) {
	if keys := j.known.Load().find(kid); len(keys) > 0 {
		return keys, nil
	}
	// Others wait for this fetch, so a client that disconnects must not cancel it.
	err := j.update(context.WithoutCancel(ctx), j.settings.pause)
	if keys := j.known.Load().find(kid); len(keys) > 0 {
		return keys, nil
	}
	if err != nil {
		return nil, &failure{unreachable, &gateway.Error{Code: gateway.Unavailable, Message: "the token's key could not be fetched from its issuer: try again later"}}
	}
	return nil, refuse(unknownKey, "the token's key (kid) is not among its issuer's: get a new token")
}

func (s *keySet) find(kid string) []key {
	return slices.DeleteFunc(slices.Clone(s.keys), func(k key) bool { return kid != "" && k.id != kid })
}

// run fetches the set periodically, and sooner after a failure, until ctx ends.
func (j *jwks) run(ctx context.Context) {
	const soonest, latest = time.Second, time.Minute
	retry := soonest
	for ctx.Err() == nil {
		wait := j.settings.refresh
		if err := j.update(ctx, 0); err != nil {
			wait = min(retry, j.settings.refresh)
			retry = min(2*retry, latest)
		} else {
			retry = soonest
		}
		pause.For(ctx, wait+rand.N(wait/10+1)) // so that the nodes of a cluster do not fetch at the same time
	}
}

// update fetches the set, unless the last fetch ended less than age ago, perhaps while this call
// waited for it. It returns the error of that fetch.
func (j *jwks) update(ctx context.Context, age time.Duration) error {
	select {
	case j.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-j.turn }()
	if !j.fetched.IsZero() && time.Since(j.fetched) < age {
		return j.err
	}
	err := j.fetch(ctx)
	if ctx.Err() == nil { // else others are not to be content with it
		j.fetched, j.err = time.Now(), err
	}
	return err
}

// fetch replaces the known keys by what the host returns. On an error they stay.
func (j *jwks) fetch(ctx context.Context) (err error) {
	defer j.wall.Catch("read the issuer's keys", func() { err = errors.New("the keys of the issuer could not be read") })
	document, err := j.download(ctx)
	if err != nil {
		return j.logged(ctx, err)
	}
	keys, skipped, err := parseJWKS(document)
	if err != nil {
		return j.logged(ctx, err)
	}
	set := &keySet{keys, sha256.Sum256(document)}
	if j.known.Swap(set).sum == set.sum {
		return nil
	}
	j.wall.Log.Info("JWKS fetched", "keys", len(keys))
	if skipped != nil {
		j.wall.Log.Warn("JWKS has keys that verify no token", "error", skipped)
	}
	return nil
}

// logged logs an error that ended a fetch, unless the gateway itself canceled it.
func (j *jwks) logged(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		j.wall.Log.Warn("JWKS not fetched; known keys stay in use", "known", len(j.known.Load().keys), "error", err)
	}
	return err
}

func (j *jwks) download(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, j.settings.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, j.settings.url, nil)
	if err != nil {
		return nil, err
	}
	response, err := j.client.Do(request)
	if err != nil {
		return nil, withoutURL(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the host answers %s", response.Status)
	}
	document, err := io.ReadAll(io.LimitReader(response.Body, maxJWKS+1))
	if err == nil && len(document) > maxJWKS {
		err = fmt.Errorf("the document has more than %d bytes", maxJWKS)
	}
	return document, err
}

// withoutURL keeps a password or query in the URL out of logs.
func withoutURL(err error) error {
	if requested, ok := errors.AsType[*url.Error](err); ok {
		return requested.Err
	}
	return err
}
