package auth_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/auth"
)

const (
	hs = `{"alg":"HS256","typ":"JWT"}`
	rs = `{"alg":"RS256","typ":"JWT"}`
)

// in returns the NumericDate d from now.
func in(d time.Duration) int64 { return time.Now().Add(d).Unix() }

func TestAuthenticate_RefusesHostileTokens(t *testing.T) {
	k := testKeys(t)
	public := publicPEM(t, &k.rsa.PublicKey)
	a := newAuth(t, auth.Config{JWT: auth.JWT{
		Secret: secret, PublicKeys: public, Leeway: 5 * time.Second,
		Issuer: "https://id.example", Audience: "tidegate",
	}})
	const good = `"iss":"https://id.example","aud":"tidegate"`
	claims := func(more string, args ...any) string { return "{" + good + "," + fmt.Sprintf(more, args...) + "}" }
	signed := func(claims string) string { return forge(hs, claims, hs256(secret)) }
	alice := claims(`"sub":"alice"`)
	valid := signed(alice)
	evil := fmt.Sprintf(`{"kty":"oct","k":%q}`, encode([]byte("the attacker's own secret, long enough")))

	for name, test := range map[string]struct{ token, label string }{
		"alg none":                     {forge(`{"alg":"none"}`, alice, unsigned), "algorithm"},
		"alg None":                     {forge(`{"alg":"None"}`, alice, unsigned), "algorithm"},
		"alg missing":                  {forge(`{}`, alice, hs256(secret)), "algorithm"},
		"alg a number":                 {forge(`{"alg":256}`, alice, hs256(secret)), "algorithm"},
		"alg unknown":                  {forge(`{"alg":"HS257"}`, alice, hs256(secret)), "algorithm"},
		"alg of no key here":           {forge(`{"alg":"ES256"}`, alice, es256(t, k.ec)), "algorithm"},
		"alg in lower case":            {forge(`{"alg":"hs256"}`, alice, hs256(secret)), "algorithm"},
		"HMAC with the public key":     {forge(hs, alice, hs256(string(public))), "signature"},
		"HMAC with its DER":            {forge(hs, alice, hs256(string(k.rsa.N.Bytes()))), "signature"},
		"HMAC with an empty secret":    {forge(hs, alice, hs256("")), "signature"},
		"RS256 signed by HMAC":         {forge(rs, alice, hs256(secret)), "signature"},
		"RSA key of somebody else":     {forge(rs, alice, rs256(t, k.otherRSA)), "signature"},
		"PKCS #1 passed off as PSS":    {forge(`{"alg":"PS256"}`, alice, rs256(t, k.rsa)), "signature"},
		"no signature":                 {forge(hs, alice, unsigned), "signature"},
		"signature cut short":          {valid[:len(valid)-4], "signature"},
		"claims changed":               {strings.Replace(valid, encode([]byte(alice)), encode([]byte(claims(`"sub":"admin"`))), 1), "signature"},
		"embedded jwk":                 {forge(`{"alg":"HS256","jwk":`+evil+`}`, alice, hs256("the attacker's own secret, long enough")), "signature"},
		"embedded jku":                 {forge(`{"alg":"RS256","jku":"http://127.0.0.1:1/jwks"}`, alice, rs256(t, k.otherRSA)), "signature"},
		"embedded x5u":                 {forge(`{"alg":"RS256","x5u":"http://127.0.0.1:1/x"}`, alice, rs256(t, k.otherRSA)), "signature"},
		"crit":                         {forge(`{"alg":"HS256","crit":["exp"]}`, alice, hs256(secret)), "malformed"},
		"expired":                      {signed(claims(`"exp":%d`, in(-time.Minute))), "expired"},
		"expired in 1970":              {signed(claims(`"exp":0`)), "expired"},
		"expired before 1970":          {signed(claims(`"exp":-1`)), "expired"},
		"not yet valid":                {signed(claims(`"nbf":%d`, in(time.Minute))), "not_yet_valid"},
		"exp of the zero time":         {signed(claims(`"exp":-62135596800`)), "malformed"},
		"exp beyond all dates":         {signed(claims(`"exp":1e300`)), "malformed"},
		"exp a string":                 {signed(claims(`"exp":"9999999999"`)), "malformed"},
		"exp an object":                {signed(claims(`"exp":{"$gt":0}`)), "malformed"},
		"exp twice":                    {signed(claims(`"exp":%d,"exp":9999999999`, in(-time.Minute))), "malformed"},
		"issuer missing":               {signed(`{"aud":"tidegate"}`), "issuer"},
		"issuer another":               {signed(`{"aud":"tidegate","iss":"https://evil.example"}`), "issuer"},
		"issuer in capital letters":    {signed(`{"aud":"tidegate","ISS":"https://id.example"}`), "issuer"},
		"issuer a list":                {signed(`{"aud":"tidegate","iss":["https://id.example"]}`), "malformed"},
		"audience missing":             {signed(`{"iss":"https://id.example"}`), "audience"},
		"audience another":             {signed(`{"iss":"https://id.example","aud":["shop","billing"]}`), "audience"},
		"audience an object":           {signed(`{"iss":"https://id.example","aud":{"tidegate":1}}`), "malformed"},
		"sub twice":                    {signed(claims(`"sub":"alice","sub":"admin"`)), "malformed"},
		"sub a number":                 {signed(claims(`"sub":42`)), "malformed"},
		"sub nested":                   {signed(claims(`"sub":[[["alice"]]]`)), "malformed"},
		"sub with a control character": {signed(claims(`"sub":"ali\u0000ce"`)), "malformed"},
		"sub that looks like another":  {signed(claims(`"sub":"alice\u200b"`)), "malformed"},
		"sub that is turned around":    {signed(claims(`"sub":"\u202eecila"`)), "malformed"},
		"sub with a new line":          {signed(claims(`"sub":"alice\nlevel=INFO"`)), "malformed"},
		"sub with a space":             {signed(claims(`"sub":"alice b"`)), "malformed"},
		"sub of 255 bytes":             {signed(claims(`"sub":"%s"`, strings.Repeat("a", 255))), "malformed"},
		"sub not UTF-8":                {signed(claims("\"sub\":\"ali\xffce\"")), "malformed"},
		"sub half a surrogate pair":    {signed(claims(`"sub":"ali\ud800ce"`)), "malformed"},
		"info of more than 1 KB":       {signed(claims(`"info":"%s"`, strings.Repeat("i", 1023))), "malformed"},
		"subscribe a string":           {signed(claims(`"subscribe":"*"`)), "malformed"},
		"subscribe not UTF-8":          {signed(claims("\"subscribe\":[\"chat:\xff\"]")), "malformed"},
		"publish a list of numbers":    {signed(claims(`"publish":[1,2]`)), "malformed"},
		"channels not channels":        {signed(claims(`"channels":["chat lobby"]`)), "malformed"},
		"channels of others":           {signed(claims(`"sub":"alice","channels":["@bob"]`)), "malformed"},
		"claims a list":                {signed(`["alice"]`), "malformed"},
		"claims null":                  {signed(`null`), "issuer"},
		"claims cut off":               {signed(`{"sub":"alice"`), "malformed"},
		"claims nested deep":           {signed(`{"sub":` + strings.Repeat("[", 9000)), "malformed"},
		"claims empty":                 {signed(``), "malformed"},
		"header a list":                {forge(`[]`, alice, hs256(secret)), "malformed"},
		"header null":                  {forge(`null`, alice, hs256(secret)), "algorithm"},
		"padding":                      {valid + "==", "malformed"},
		"four parts":                   {valid + ".x", "unknown_key"},
		"empty parts":                  {"..", "malformed"},
		"garbage":                      {"\x00\xff.\x00.\x00", "malformed"},
		"a word":                       {"letmein", "unknown_key"},
		"empty":                        {"", "unknown_key"},
		"1 MB":                         {strings.Repeat("a", 1<<20), "too_long"},
		"1 MB of claims, well signed":  {signed(claims(`"x":"%s"`, strings.Repeat("x", 1<<20))), "too_long"},
		"one byte too long":            {strings.Repeat("a", 16<<10+1), "too_long"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := a.Authenticate(t.Context(), test.token)
			if got := auth.FailureLabel(err); err == nil || got != test.label {
				t.Fatalf("Authenticate = %+v, %v (%s), want a refusal labelled %s", p, err, got, test.label)
			}
			if !slices.Contains(auth.FailureLabels(), test.label) {
				t.Errorf("%s is not among the labels", test.label)
			}
			checkRefusal(t, err, test.token)
			if !reflect.DeepEqual(p, gateway.Principal{}) {
				t.Errorf("a refused token has the principal %+v", p)
			}
		})
	}
}

// checkRefusal fails unless err may be shown to a client.
func checkRefusal(t *testing.T, err error, token string) {
	t.Helper()
	var refusal *gateway.Error
	if !errors.As(err, &refusal) || refusal.Code != gateway.Unauthenticated {
		t.Fatalf("the error is %#v, want a *gateway.Error that says unauthenticated", err)
	}
	for _, part := range strings.Split(token, ".") {
		if len(part) > 4 && strings.Contains(refusal.Message, part) {
			t.Errorf("the message repeats the token: %q", refusal.Message)
		}
	}
	for _, hidden := range []string{secret, "alice", "admin", "evil"} {
		if strings.Contains(refusal.Message, hidden) {
			t.Errorf("the message gives %q away: %q", hidden, refusal.Message)
		}
	}
}

func TestAuthenticate_AcceptsTokens(t *testing.T) {
	k := testKeys(t)
	a := newAuth(t, auth.Config{JWT: auth.JWT{
		Secret: secret, Leeway: time.Minute,
		PublicKeys: publicPEM(t, &k.rsa.PublicKey, &k.ec.PublicKey, k.ed.Public()),
	}})
	signed := func(claims string) string { return forge(hs, claims, hs256(secret)) }
	alice := gateway.Principal{User: "alice"}
	longest := strings.Repeat("a", 254)
	soon := time.Now().Add(time.Hour).Truncate(time.Second)

	for name, test := range map[string]struct {
		token string
		want  gateway.Principal
	}{
		"HS256":                  {signed(`{"sub":"alice"}`), alice},
		"RS256":                  {forge(rs, `{"sub":"alice"}`, rs256(t, k.rsa)), alice},
		"PS256":                  {forge(`{"alg":"PS256"}`, `{"sub":"alice"}`, ps256(t, k.rsa)), alice},
		"ES256":                  {forge(`{"alg":"ES256"}`, `{"sub":"alice"}`, es256(t, k.ec)), alice},
		"EdDSA":                  {forge(`{"alg":"EdDSA"}`, `{"sub":"alice"}`, eddsa(k.ed)), alice},
		"a kid without a JWKS":   {forge(`{"alg":"HS256","kid":"k1"}`, `{"sub":"alice"}`, hs256(secret)), alice},
		"jwk is not read":        {forge(`{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"},"jku":"http://127.0.0.1:1/"}`, `{"sub":"alice"}`, hs256(secret)), alice},
		"no exp":                 {signed(`{"sub":"alice"}`), alice},
		"exp null":               {signed(`{"sub":"alice","exp":null}`), alice},
		"exp":                    {signed(fmt.Sprintf(`{"exp":%d}`, soon.Unix())), gateway.Principal{Expires: soon.Add(time.Minute)}},
		"exp with a fraction":    {signed(fmt.Sprintf(`{"exp":%d.75}`, soon.Unix())), gateway.Principal{Expires: soon.Add(time.Minute)}},
		"no sub":                 {signed(`{"subscribe":["chat:*"]}`), gateway.Principal{Subscribe: []string{"chat:*"}}},
		"SUB is not sub":         {signed(`{"sub":"alice","SUB":"admin","Sub":["x"]}`), alice},
		"unknown claims":         {signed(`{"sub":"alice","x":{"sub":"admin"},"roles":[[1]]}`), alice},
		"patterns":               {signed(`{"subscribe":["a:*","b"],"publish":["c"],"channels":["d:1","@alice"],"sub":"alice"}`), gateway.Principal{User: "alice", Subscribe: []string{"a:*", "b"}, Publish: []string{"c"}, Channels: []string{"d:1", "@alice"}}},
		"info":                   {signed(`{"info":{"name": "Alice",  "n": [1, 2]}}`), gateway.Principal{Info: []byte(`{"name":"Alice","n":[1,2]}`)}},
		"info null":              {signed(`{"sub":"alice","info":null}`), alice},
		"info of 1 KB":           {signed(`{"info":"` + strings.Repeat("i", 1022) + `"}`), gateway.Principal{Info: []byte(`"` + strings.Repeat("i", 1022) + `"`)}},
		"sub of 254 bytes":       {signed(`{"sub":"` + longest + `"}`), gateway.Principal{User: longest}},
		"sub of other alphabets": {signed(`{"sub":"auth0|Ольга@例え"}`), gateway.Principal{User: "auth0|Ольга@例え"}},
		"nbf within the leeway":  {signed(fmt.Sprintf(`{"sub":"alice","nbf":%d}`, in(30*time.Second))), alice},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := a.Authenticate(t.Context(), test.token)
			if err != nil {
				t.Fatal(err)
			}
			if !p.Expires.Equal(test.want.Expires) {
				t.Errorf("Expires = %v, want %v", p.Expires, test.want.Expires)
			}
			p.Expires, test.want.Expires = time.Time{}, time.Time{}
			test.want.Token = gateway.TokenInfo{Shown: true}
			if !reflect.DeepEqual(p, test.want) {
				t.Errorf("Authenticate = %+v, want %+v", p, test.want)
			}
		})
	}
}

func TestAuthenticate_ExpiredWithinLeewayEndsLater(t *testing.T) {
	a := newAuth(t, auth.Config{JWT: auth.JWT{Secret: secret, Leeway: time.Minute}})
	token := forge(hs, fmt.Sprintf(`{"exp":%d}`, in(-30*time.Second)), hs256(secret))
	p, err := a.Authenticate(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if !p.Expires.After(time.Now()) {
		t.Errorf("the session would end at once, at %v", p.Expires)
	}
}

func TestAuthenticate_AudienceOfMany(t *testing.T) {
	a := newAuth(t, auth.Config{JWT: auth.JWT{Secret: secret, Audience: "tidegate"}})
	for _, audience := range []string{`"tidegate"`, `["shop","tidegate"]`} {
		if _, err := a.Authenticate(t.Context(), forge(hs, `{"aud":`+audience+`}`, hs256(secret))); err != nil {
			t.Errorf("aud %s: %v", audience, err)
		}
	}
}

func TestAuthenticate_WithoutKeysNothingIsAccepted(t *testing.T) {
	a := newAuth(t, auth.Config{})
	for _, token := range []string{"", "key", forge(hs, `{}`, hs256("")), forge(`{"alg":"none"}`, `{}`, unsigned)} {
		if p, err := a.Authenticate(t.Context(), token); auth.FailureLabel(err) != "unknown_key" {
			t.Errorf("Authenticate(%q) = %+v, %v", token, p, err)
		}
	}
}

func TestAuthenticate_TellsOfFailures(t *testing.T) {
	var labels []string
	a := newAuth(t, auth.Config{
		JWT:    auth.JWT{Secret: secret},
		Failed: func(label string) { labels = append(labels, label) },
	})
	for _, token := range []string{
		forge(hs, `{}`, hs256(secret)), forge(hs, `{}`, unsigned), "word",
	} {
		_, _ = a.Authenticate(t.Context(), token)
	}
	if want := []string{"signature", "unknown_key"}; !reflect.DeepEqual(labels, want) {
		t.Errorf("labels = %q, want %q", labels, want)
	}
}

func TestAuthenticate_ATokenThatHasExpiredClosesAsABadOne(t *testing.T) {
	a := newAuth(t, auth.Config{JWT: auth.JWT{Secret: secret}})
	_, err := a.Authenticate(t.Context(), forge(hs, fmt.Sprintf(`{"sub":"alice","exp":%d}`, in(-time.Minute)), hs256(secret)))
	var refusal *gateway.Error
	if !errors.As(err, &refusal) || !refusal.Reason.Is(gateway.TokenExpired) || refusal.Reason.Code != 4001 {
		t.Errorf("the error is %#v, want one whose reason is that the token has expired, with 4001", err)
	}
}

func TestFailureLabel_OfAnotherError(t *testing.T) {
	if got := auth.FailureLabel(errors.New("x")); got != "other" {
		t.Errorf("FailureLabel = %q, want other", got)
	}
}

func TestSign_WhatItSignsIsAccepted(t *testing.T) {
	k := testKeys(t)
	want := gateway.Principal{
		User: "alice", Info: []byte(`{"name":"Alice"}`), Subscribe: []string{"chat:*"},
		Publish: []string{"chat:lobby"}, Channels: []string{"news"},
		Expires: time.Now().Add(time.Hour).Truncate(time.Second),
		Token:   gateway.TokenInfo{Shown: true, ID: "t1", Issued: time.Now().Truncate(time.Second), Channel: "chat:lobby"},
	}
	claims := auth.Claims{
		ID: want.Token.ID, Channel: want.Token.Channel,
		User: want.User, Info: want.Info, Subscribe: want.Subscribe, Publish: want.Publish, Channels: want.Channels,
		Issuer: "me", Audience: []string{"tidegate"}, Expires: want.Expires, NotBefore: time.Now(), IssuedAt: want.Token.Issued,
	}
	a := newAuth(t, auth.Config{JWT: auth.JWT{
		Secret: secret, PublicKeys: publicPEM(t, &k.rsa.PublicKey, &k.ec.PublicKey, k.ed.Public()),
		Issuer: "me", Audience: "tidegate",
	}})
	for name, key := range signingKeys(t) {
		t.Run(name, func(t *testing.T) {
			token, err := auth.Sign(claims, key, "k1")
			must(t, err)
			p, err := a.Authenticate(t.Context(), token)
			must(t, err)
			if !reflect.DeepEqual(p, want) {
				t.Errorf("Authenticate = %+v, want %+v", p, want)
			}
		})
	}
}

// signingKeys returns one key of each kind, by algorithm.
func signingKeys(t testing.TB) map[string]auth.SigningKey {
	t.Helper()
	k := testKeys(t)
	hmac, err := auth.NewSigningSecret(secret)
	must(t, err)
	all := map[string]auth.SigningKey{hmac.Algorithm(): hmac}
	for _, private := range []any{k.rsa, k.ec, k.ed} {
		key, err := auth.ParseSigningKey(privatePEM(t, private))
		must(t, err)
		all[key.Algorithm()] = key
	}
	if len(all) != 4 {
		t.Fatalf("the keys have the algorithms %v, want four", all)
	}
	return all
}

func TestSign_RefusesWhatTheGatewayRefuses(t *testing.T) {
	key, err := auth.NewSigningSecret(secret)
	must(t, err)
	for name, claims := range map[string]auth.Claims{
		"user":     {User: "alice b"},
		"info":     {Info: []byte(`"` + strings.Repeat("i", 1023) + `"`)},
		"channels": {Channels: []string{""}},
		"channel":  {Channel: "a b"},
	} {
		if token, err := auth.Sign(claims, key, ""); err == nil {
			t.Errorf("%s: signed %s", name, token)
		}
	}
}
