package auth_test

import (
	"testing"
	"time"

	"tidegate/gateway/auth"
)

// BenchmarkAuthenticate measures the cost of a handshake.
func BenchmarkAuthenticate(b *testing.B) {
	k := testKeys(b)
	a := newAuth(b, auth.Config{
		Keys: []auth.APIKey{{Name: "shop", Key: shopKey}},
		JWT: auth.JWT{
			Secret: secret, PublicKeys: publicPEM(b, &k.rsa.PublicKey, &k.ec.PublicKey, k.ed.Public()),
			Issuer: "https://id.example", Audience: "tidegate",
		},
	})
	credentials := map[string]string{"key": shopKey}
	for name, key := range signingKeys(b) {
		token, err := auth.Sign(auth.Claims{
			User: "alice", Info: []byte(`{"name":"Alice"}`), Subscribe: []string{"chat:*"},
			Issuer: "https://id.example", Audience: []string{"tidegate"}, Expires: time.Now().Add(time.Hour),
		}, key, "k1")
		must(b, err)
		credentials[name] = token
	}
	for name, credential := range credentials {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.Authenticate(b.Context(), credential); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
