package auth_test

import (
	"encoding/json"
	"errors"
	"testing"

	"tidegate/gateway"
	"tidegate/gateway/auth"
	"tidegate/gateway/rules"
)

// FuzzAuthenticate passes anything that a client may send as a credential.
func FuzzAuthenticate(f *testing.F) {
	k := testKeys(f)
	f.Add(forge(hs, `{"sub":"alice"}`, hs256(secret)))
	f.Add(forge(rs, `{"sub":"alice"}`, rs256(f, k.rsa)))
	f.Add(forge(`{"alg":"none"}`, `{}`, unsigned))
	f.Add(shopKey)
	f.Add("..")
	a := newAuth(f, auth.Config{
		Keys: []auth.APIKey{{Name: "shop", Key: shopKey}},
		JWT:  auth.JWT{Secret: "nobody who fuzzes knows this secret", PublicKeys: publicPEM(f, k.ec.Public())},
	})
	f.Fuzz(func(t *testing.T, credential string) {
		p, err := a.Authenticate(t.Context(), credential)
		var refusal *gateway.Error
		switch {
		case err == nil && (credential != shopKey || p.Key != "shop"):
			t.Fatalf("%q is accepted as %+v", credential, p)
		case err != nil && (!errors.As(err, &refusal) || refusal.Code != gateway.Unauthenticated):
			t.Fatalf("%q: %#v", credential, err)
		case err != nil && auth.FailureLabel(err) == "other":
			t.Fatalf("%q: %v has no label", credential, err)
		}
	})
}

// FuzzClaims signs arbitrary claims. If the gateway accepts them, the user must be a valid name.
func FuzzClaims(f *testing.F) {
	f.Add(`{"sub":"alice","info":{"a":[1]},"subscribe":["a:*"],"channels":["b"],"exp":1e10,"aud":["x"]}`)
	f.Add(`{"sub":"alice","sub":"bob"}`)
	f.Add(`{"SUB":"alice","exp":null}`)
	f.Add(`{"sub":"\ud800"}`)
	a := newAuth(f, auth.Config{JWT: auth.JWT{Secret: secret}})
	f.Fuzz(func(t *testing.T, claims string) {
		p, err := a.Authenticate(t.Context(), forge(hs, claims, hs256(secret)))
		if err != nil {
			return
		}
		if p.Key != "" {
			t.Fatalf("claims %q make a backend", claims)
		}
		if p.User != "" && rules.CheckChannel(rules.PersonalChannel(p.User)) != nil {
			t.Fatalf("claims %q make the user %q", claims, p.User)
		}
		if p.Info != nil && (!json.Valid(p.Info) || len(p.Info) > 1024) {
			t.Fatalf("claims %q make the info %q", claims, p.Info)
		}
		for _, channel := range p.Channels {
			if rules.CheckChannel(channel) != nil {
				t.Fatalf("claims %q make the channel %q", claims, channel)
			}
		}
	})
}
