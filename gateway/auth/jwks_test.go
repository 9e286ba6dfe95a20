package auth_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/auth"
)

// issuer is a JWKS host.
type issuer struct {
	*httptest.Server
	requests atomic.Int64
	answer   atomic.Pointer[http.HandlerFunc]
}

func newIssuer(t *testing.T, document []byte) *issuer {
	t.Helper()
	i := &issuer{}
	i.publish(document)
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.requests.Add(1)
		(*i.answer.Load())(w, r)
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) publish(document []byte) {
	i.handle(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(document) })
}

func (i *issuer) handle(answer http.HandlerFunc) { i.answer.Store(&answer) }

func (i *issuer) failing() {
	i.handle(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
}

// patient returns a config that fetches once, when it must, and then not again.
func (i *issuer) patient() auth.Config {
	return auth.Config{JWT: auth.JWT{
		Secret: secret, JWKSURL: i.URL, JWKSRefresh: time.Hour, JWKSPause: time.Hour, JWKSTimeout: 20 * time.Second,
	}}
}

// eager returns a config that fetches for each unknown key.
func (i *issuer) eager() auth.Config {
	c := i.patient()
	c.JWT.JWKSPause = time.Nanosecond
	return c
}

func kidded(alg, kid string) string { return fmt.Sprintf(`{"alg":%q,"kid":%q}`, alg, kid) }

const aliceClaims = `{"sub":"alice"}`

func TestJWKS_KindsOfKeys(t *testing.T) {
	k := testKeys(t)
	i := newIssuer(t, keySet(t, rsaJWK("r", k.rsa), ecJWK("e", k.ec), edJWK("d", k.ed), rsaJWK("ps", k.otherRSA).with("alg", "PS256"),
		rsaJWK("x5", k.rsa).with("x5c", []string{certificate(t, k.rsa)}).with("x5t", encode([]byte("65AF6909B1B0758E06C6E048C46002B5C695E36B"))), // as Auth0 publishes some
		rsaJWK("enc", k.rsa).with("use", "enc"),
		rsaJWK("sign", k.rsa).with("key_ops", []string{"sign"}),
		jwk{"kty": "oct", "kid": "oct", "k": encode([]byte(secret))},
		rsaJWK("hmac", k.rsa).with("alg", "HS256"),
		jwk{"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
		jwk{"kty": "new", "kid": "future"}))
	a := newAuth(t, i.patient())
	for name, test := range map[string]struct{ token, want string }{
		"RS256":                    {forge(kidded("RS256", "r"), aliceClaims, rs256(t, k.rsa)), ""},
		"PS256":                    {forge(kidded("PS256", "r"), aliceClaims, ps256(t, k.rsa)), ""},
		"ES256":                    {forge(kidded("ES256", "e"), aliceClaims, es256(t, k.ec)), ""},
		"EdDSA":                    {forge(kidded("EdDSA", "d"), aliceClaims, eddsa(k.ed)), ""},
		"odd thumbprint":           {forge(kidded("RS256", "x5"), aliceClaims, rs256(t, k.rsa)), ""},
		"no kid":                   {forge(rs, aliceClaims, rs256(t, k.rsa)), ""},
		"HS256 by the secret":      {forge(hs, aliceClaims, hs256(secret)), ""},
		"alg as the set names it":  {forge(kidded("PS256", "ps"), aliceClaims, ps256(t, k.otherRSA)), ""},
		"alg not as the set names": {forge(kidded("RS256", "ps"), aliceClaims, rs256(t, k.otherRSA)), "algorithm"},
		"alg of another kind":      {forge(kidded("ES256", "r"), aliceClaims, es256(t, k.ec)), "algorithm"},
		"HMAC with the public key": {forge(kidded("HS256", "r"), aliceClaims, hs256(string(publicPEM(t, &k.rsa.PublicKey)))), "signature"},
		"alg none":                 {forge(kidded("none", "r"), aliceClaims, unsigned), "algorithm"},
		"another key's kid":        {forge(kidded("RS256", "r"), aliceClaims, rs256(t, k.otherRSA)), "signature"},
		"wrong kid":                {forge(kidded("RS256", "x"), aliceClaims, rs256(t, k.rsa)), "unknown_key"},
		"kid a number":             {forge(`{"alg":"RS256","kid":7}`, aliceClaims, rs256(t, k.rsa)), "malformed"},
		"kid as a path":            {forge(kidded("RS256", "../../etc/passwd"), aliceClaims, rs256(t, k.rsa)), "unknown_key"},
		"key for encryption":       {forge(kidded("RS256", "enc"), aliceClaims, rs256(t, k.rsa)), "unknown_key"},
		"key for signing only":     {forge(kidded("RS256", "sign"), aliceClaims, rs256(t, k.rsa)), "unknown_key"},
		"secret of the set":        {forge(kidded("HS256", "oct"), aliceClaims, hs256("not that of the config, 32 bytes")), "signature"},
		"RSA key that says HS256":  {forge(kidded("RS256", "hmac"), aliceClaims, rs256(t, k.rsa)), "unknown_key"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := a.Authenticate(t.Context(), test.token)
			if test.want == "" {
				if err != nil || p.User != "alice" {
					t.Errorf("Authenticate = %+v, %v", p, err)
				}
				return
			}
			if got := auth.FailureLabel(err); err == nil || got != test.want {
				t.Errorf("Authenticate = %+v, %v (%s), want %s", p, err, got, test.want)
			}
		})
	}
	if n := i.requests.Load(); n != 1 {
		t.Errorf("the issuer was asked %d times, want once", n)
	}
}

func TestJWKS_RotationIsFoundByUnknownKid(t *testing.T) {
	k := testKeys(t)
	i := newIssuer(t, keySet(t, rsaJWK("old", k.rsa)))
	a := newAuth(t, i.eager())
	before := forge(kidded("RS256", "old"), aliceClaims, rs256(t, k.rsa))
	after := forge(kidded("RS256", "new"), aliceClaims, rs256(t, k.otherRSA))
	expect(t, a, before, "")
	expect(t, a, after, "unknown_key")
	i.publish(keySet(t, rsaJWK("new", k.otherRSA)))
	expect(t, a, after, "")
	expect(t, a, before, "unknown_key") // withdrawn
}

func TestJWKS_RotationIsFoundInTheBackground(t *testing.T) {
	k := testKeys(t)
	i := newIssuer(t, keySet(t, rsaJWK("old", k.rsa)))
	c := i.patient()
	c.JWT.JWKSRefresh = 5 * time.Millisecond
	a := newAuth(t, c)
	run(t, a)
	old := forge(kidded("RS256", "old"), aliceClaims, rs256(t, k.rsa))
	expect(t, a, old, "")
	i.publish(keySet(t, rsaJWK("new", k.otherRSA)))
	await(t, "the new key", func() bool {
		_, err := a.Authenticate(t.Context(), forge(kidded("RS256", "new"), aliceClaims, rs256(t, k.otherRSA)))
		return err == nil
	})
	expect(t, a, old, "unknown_key") // withdrawn
}

func TestJWKS_OutageChangesNothingForKnownKeys(t *testing.T) {
	k := testKeys(t)
	document := keySet(t, rsaJWK("r", k.rsa))
	token := forge(kidded("RS256", "r"), aliceClaims, rs256(t, k.rsa))
	unknown := forge(kidded("RS256", "x"), aliceClaims, rs256(t, k.rsa))
	for name, outage := range map[string]func(*issuer){
		"502":          func(i *issuer) { i.failing() },
		"gone":         func(i *issuer) { i.Close() },
		"garbage":      func(i *issuer) { i.publish([]byte("<html>please log in</html>")) },
		"empty":        func(i *issuer) { i.publish(nil) },
		"no keys":      func(i *issuer) { i.publish([]byte(`{"keys":[]}`)) },
		"another JSON": func(i *issuer) { i.publish([]byte(`{"keys":[{"kty":5}]}`)) },
		"more than 1 MB": func(i *issuer) {
			i.publish([]byte(string(document) + strings.Repeat(" ", 1<<20)))
		},
		"too many keys": func(i *issuer) {
			i.publish([]byte(`{"keys":[` + strings.Repeat(`{"kty":"RSA"},`, 64) + `{"kty":"RSA"}]}`))
		},
		"redirected in a circle": func(i *issuer) {
			i.handle(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			i := newIssuer(t, document)
			a := newAuth(t, i.eager())
			expect(t, a, token, "")
			outage(i)
			expect(t, a, unknown, "unavailable") // the fetch fails
			expect(t, a, token, "")
		})
	}
}

func TestJWKS_HostNeverReachedIsUnavailable(t *testing.T) {
	k := testKeys(t)
	i := newIssuer(t, keySet(t, rsaJWK("r", k.rsa)))
	i.failing()
	a := newAuth(t, i.patient())
	token := forge(kidded("RS256", "r"), aliceClaims, rs256(t, k.rsa))
	_, err := a.Authenticate(t.Context(), token)
	var refusal *gateway.Error
	if !errors.As(err, &refusal) || refusal.Code != gateway.Unavailable || auth.FailureLabel(err) != "unavailable" {
		t.Errorf("Authenticate = %v (%s), want unavailable", err, auth.FailureLabel(err))
	}
	expect(t, a, forge(hs, aliceClaims, hs256(secret)), "") // needs no JWKS
	i.publish(keySet(t, rsaJWK("r", k.rsa)))
	run(t, a) // retries on its own, however long the pause is
	await(t, "the key", func() bool {
		_, err := a.Authenticate(t.Context(), token)
		return err == nil
	})
}

// A reload gives up the fetch in the background, which a client may be waiting for.
func TestJWKS_ReloadFailsNoClient(t *testing.T) {
	k := testKeys(t)
	i := newIssuer(t, nil)
	asked := make(chan struct{}, 1)
	i.handle(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	})
	a := newAuth(t, i.patient())
	run(t, a)
	<-asked
	i.publish(keySet(t, rsaJWK("r", k.rsa)))
	var waiting sync.WaitGroup
	for range 20 {
		waiting.Go(func() { expect(t, a, forge(kidded("RS256", "r"), aliceClaims, rs256(t, k.rsa)), "") })
	}
	must(t, a.SetConfig(i.patient()))
	waiting.Wait()
}

func TestJWKS_FloodOfUnknownKidsIsOneFetch(t *testing.T) {
	k := testKeys(t)
	i := newIssuer(t, keySet(t, rsaJWK("r", k.rsa)))
	a := newAuth(t, i.patient())
	var clients sync.WaitGroup
	for n := range 200 {
		clients.Go(func() {
			token := forge(kidded("RS256", fmt.Sprint("x", n)), aliceClaims, func(string) []byte { return []byte("junk") })
			if _, err := a.Authenticate(t.Context(), token); auth.FailureLabel(err) != "unknown_key" {
				t.Errorf("Authenticate = %v", err)
			}
		})
	}
	clients.Wait()
	if n := i.requests.Load(); n != 1 {
		t.Errorf("the issuer was asked %d times, want once", n)
	}
	expect(t, a, forge(kidded("RS256", "r"), aliceClaims, rs256(t, k.rsa)), "")
}

func TestJWKS_SlowHostHoldsUpNoKnownKey(t *testing.T) {
	k := testKeys(t)
	document := keySet(t, rsaJWK("r", k.rsa))
	i := newIssuer(t, document)
	a := newAuth(t, i.eager())
	token := forge(kidded("RS256", "r"), aliceClaims, rs256(t, k.rsa))
	expect(t, a, token, "")

	asked, answer := make(chan struct{}, 100), make(chan struct{})
	i.handle(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		<-answer
		_, _ = w.Write(document)
	})
	unknown := forge(kidded("RS256", "x"), aliceClaims, rs256(t, k.rsa))
	var waiting sync.WaitGroup
	for range 20 {
		waiting.Go(func() { expect(t, a, unknown, "unknown_key") })
	}
	<-asked
	for range 100 {
		expect(t, a, token, "") // would never return if it waited for the fetch
	}
	if len(asked) > 0 {
		t.Errorf("the issuer is asked %d times more while it has not answered", len(asked))
	}
	close(answer)
	waiting.Wait()
}

func TestJWKS_SilentHostIsGivenUp(t *testing.T) {
	k := testKeys(t)
	i := newIssuer(t, nil)
	release := make(chan struct{})
	i.handle(func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	c := i.patient()
	c.JWT.JWKSTimeout = 20 * time.Millisecond
	expect(t, newAuth(t, c), forge(kidded("RS256", "r"), aliceClaims, rs256(t, k.rsa)), "unavailable")
}

func TestJWKS_ClientThatLeavesEndsNoFetch(t *testing.T) {
	k := testKeys(t)
	i := newIssuer(t, keySet(t, rsaJWK("r", k.rsa)))
	a := newAuth(t, i.patient())
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := a.Authenticate(gone, forge(kidded("RS256", "r"), aliceClaims, rs256(t, k.rsa))); err != nil {
		t.Errorf("Authenticate = %v: the fetch ended with its client", err)
	}
}

func TestJWKS_RedirectFromHTTPSToHTTPIsRefused(t *testing.T) {
	k := testKeys(t)
	document := keySet(t, rsaJWK("r", k.rsa))
	plain := newIssuer(t, document)
	var answer http.Handler = http.RedirectHandler(plain.URL, http.StatusFound)
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer.ServeHTTP(w, r) }))
	defer secure.Close()
	trust(t, secure.Certificate())
	c := plain.eager()
	c.JWT.JWKSURL = secure.URL
	a := newAuth(t, c)
	token := forge(kidded("RS256", "r"), aliceClaims, rs256(t, k.rsa))
	expect(t, a, token, "unavailable")
	if n := plain.requests.Load(); n != 0 {
		t.Errorf("the plain host was asked %d times", n)
	}
	answer = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(document) })
	expect(t, a, token, "")
}

// trust makes a certificate trusted by the system. Go loads the system's certificates only
// once, so no other test may verify one.
func trust(t *testing.T, certificate *x509.Certificate) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	document := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})
	must(t, os.WriteFile(file, document, 0o600))
	t.Setenv("SSL_CERT_FILE", file)
}

func TestSetConfig_KeepsAJWKSThatStays(t *testing.T) {
	k := testKeys(t)
	i := newIssuer(t, keySet(t, rsaJWK("r", k.rsa)))
	a := newAuth(t, i.patient())
	run(t, a)
	token := forge(kidded("RS256", "r"), aliceClaims, rs256(t, k.rsa))
	expect(t, a, token, "")
	i.failing()
	c := i.patient()
	c.Keys = []auth.APIKey{{Name: "shop", Key: shopKey}}
	must(t, a.SetConfig(c))
	expect(t, a, token, "")
}

func TestSetConfig_FetchesAnotherJWKS(t *testing.T) {
	k := testKeys(t)
	first := newIssuer(t, keySet(t, rsaJWK("r", k.rsa)))
	second := newIssuer(t, keySet(t, rsaJWK("r", k.otherRSA)))
	a := newAuth(t, first.patient())
	run(t, a)
	expect(t, a, forge(kidded("RS256", "r"), aliceClaims, rs256(t, k.rsa)), "")
	must(t, a.SetConfig(second.patient()))
	await(t, "a request to the second issuer", func() bool { return second.requests.Load() > 0 })
	expect(t, a, forge(kidded("RS256", "r"), aliceClaims, rs256(t, k.otherRSA)), "")
	expect(t, a, forge(kidded("RS256", "r"), aliceClaims, rs256(t, k.rsa)), "signature")
}

func TestRun_EndsInTheMiddleOfAFetch(t *testing.T) {
	i := newIssuer(t, nil)
	asked := make(chan struct{})
	i.handle(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	})
	a := newAuth(t, i.patient())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- a.Run(ctx) }()
	<-asked
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}
}

// expect fails unless token is accepted as alice's, or refused with the given label.
func expect(t *testing.T, a *auth.Auth, token, label string) {
	t.Helper()
	p, err := a.Authenticate(t.Context(), token)
	if label == "" {
		if err != nil || p.User != "alice" {
			t.Errorf("Authenticate = %+v, %v, want alice", p, err)
		}
		return
	}
	if got := auth.FailureLabel(err); err == nil || got != label {
		t.Errorf("Authenticate = %+v, %v (%s), want %s", p, err, got, label)
	}
}

// run runs a until the test ends.
func run(t *testing.T, a *auth.Auth) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

func await(t *testing.T, what string, happened func() bool) {
	t.Helper()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(30 * time.Second)
	for !happened() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("%s: not within 30 s", what)
		}
	}
}
