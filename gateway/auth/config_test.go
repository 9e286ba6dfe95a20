package auth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"tidegate/gateway/auth"
)

const shopKey = "0123456789abcdef0123456789abcdef"

func TestNew_SaysWhatIsWrong(t *testing.T) {
	k := testKeys(t)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	must(t, err)
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	must(t, err)
	public := publicPEM(t, &k.rsa.PublicKey)
	for name, test := range map[string]struct {
		config auth.Config
		want   string
	}{
		"key without a name":     {auth.Config{Keys: []auth.APIKey{{Name: "", Key: shopKey}}}, "want 1 to 64 letters"},
		"key's name as a label":  {auth.Config{Keys: []auth.APIKey{{Name: "shop\n", Key: shopKey}}}, "want 1 to 64 letters"},
		"key's name too long":    {auth.Config{Keys: []auth.APIKey{{Name: strings.Repeat("n", 65), Key: shopKey}}}, "want 1 to 64 letters"},
		"key too short":          {auth.Config{Keys: []auth.APIKey{{Name: "shop", Key: "hunter2"}}}, "openssl rand -hex 24"},
		"key twice":              {auth.Config{Keys: []auth.APIKey{{Name: "shop", Key: shopKey}, {Name: "till", Key: shopKey}}}, "have the same key"},
		"name twice":             {auth.Config{Keys: []auth.APIKey{{Name: "shop", Key: shopKey}, {Name: "shop", Key: shopKey + "x"}}}, "there twice"},
		"secret too short":       {auth.Config{JWT: auth.JWT{Secret: "hunter2"}}, "openssl rand -hex 32"},
		"public key as a secret": {auth.Config{JWT: auth.JWT{Secret: string(public)}}, "public_key_file"},
		"private key":            {auth.Config{JWT: auth.JWT{PublicKeys: privatePEM(t, k.rsa)}}, "no private key"},
		"not PEM":                {auth.Config{JWT: auth.JWT{PublicKeys: []byte("key")}}, "BEGIN PUBLIC KEY"},
		"weak RSA":               {auth.Config{JWT: auth.JWT{PublicKeys: publicPEM(t, &weak.PublicKey)}}, "at least 2048"},
		"giant RSA":              {auth.Config{JWT: auth.JWT{PublicKeys: publicPEM(t, giantRSA(8193))}}, "at most 8192"},
		"unsupported curve":      {auth.Config{JWT: auth.JWT{PublicKeys: publicPEM(t, &p224.PublicKey)}}, "P-256"},
		"two sources":            {auth.Config{JWT: auth.JWT{PublicKeys: public, JWKSURL: "https://id.example/jwks"}}, "give one of them"},
		"JWKS of a file":         {auth.Config{JWT: auth.JWT{JWKSURL: "file:///etc/jwks"}}, "https://HOST/PATH"},
		"issuer without a key":   {auth.Config{JWT: auth.JWT{Issuer: "me"}}, "has no key"},
		"negative leeway":        {auth.Config{JWT: auth.JWT{Secret: secret, Leeway: -time.Second}}, "negative"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := auth.New(test.config)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("New = %v, want an error with %q", err, test.want)
			}
			for _, hidden := range []string{"hunter2", shopKey} {
				if strings.Contains(err.Error(), hidden) {
					t.Errorf("the error gives a secret away: %v", err)
				}
			}
		})
	}
}

// giantRSA returns an RSA public key with that many bits.
func giantRSA(bits uint) *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), bits-1)
	return &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537}
}

func TestAuthenticate_APIKey(t *testing.T) {
	a := newAuth(t, auth.Config{Keys: []auth.APIKey{{Name: "till", Key: shopKey + "x"}, {Name: "shop", Key: shopKey}}})
	p, err := a.Authenticate(t.Context(), shopKey)
	if err != nil || p.Key != "shop" || p.User != "" {
		t.Errorf("Authenticate = %+v, %v, want the key shop", p, err)
	}
	for _, wrong := range []string{shopKey[:31], shopKey + "y", strings.ToUpper(shopKey), "shop", ""} {
		if p, err := a.Authenticate(t.Context(), wrong); auth.FailureLabel(err) != "unknown_key" {
			t.Errorf("Authenticate(%q) = %+v, %v", wrong, p, err)
		}
	}
}

func TestSetConfig_ReplacesKeys(t *testing.T) {
	a := newAuth(t, auth.Config{Keys: []auth.APIKey{{Name: "shop", Key: shopKey}}})
	must(t, a.SetConfig(auth.Config{Keys: []auth.APIKey{{Name: "till", Key: shopKey + "x"}}}))
	if _, err := a.Authenticate(t.Context(), shopKey); err == nil {
		t.Error("a key that was taken away still opens")
	}
	if p, err := a.Authenticate(t.Context(), shopKey+"x"); err != nil || p.Key != "till" {
		t.Errorf("Authenticate = %+v, %v, want the key till", p, err)
	}
	if err := a.SetConfig(auth.Config{JWT: auth.JWT{Secret: "short"}}); err == nil {
		t.Fatal("a bad config was taken")
	}
	if _, err := a.Authenticate(t.Context(), shopKey+"x"); err != nil {
		t.Errorf("after a bad config: %v", err)
	}
}

func TestSetConfig_WhileAuthenticating(t *testing.T) {
	configs := []auth.Config{
		{JWT: auth.JWT{Secret: secret}, Keys: []auth.APIKey{{Name: "shop", Key: shopKey}}},
		{JWT: auth.JWT{Secret: secret + "2"}, Keys: []auth.APIKey{{Name: "shop", Key: shopKey}, {Name: "till", Key: shopKey + "x"}}},
	}
	a := newAuth(t, configs[0])
	token := forge(hs, `{"sub":"alice"}`, hs256(secret))
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for range 300 {
				if p, err := a.Authenticate(t.Context(), shopKey); err != nil || p.Key != "shop" {
					t.Errorf("a key of both configs: %+v, %v", p, err)
				}
				if p, err := a.Authenticate(t.Context(), token); err == nil && p.User != "alice" {
					t.Errorf("a token: %+v", p)
				}
			}
		})
	}
	for i := range 300 {
		must(t, a.SetConfig(configs[i%2]))
	}
	readers.Wait()
}
