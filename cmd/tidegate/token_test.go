package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/auth"
)

const tokenSecret = "a secret of more than thirty-two bytes"

func TestToken_SaysWhatTheFlagsSay(t *testing.T) {
	token, details := makeToken(t, "--secret", tokenSecret, "--user", "alice", "--info", `{"name":"Alice"}`,
		"--subscribe", "chat:*", "--subscribe", "news", "--publish", "chat:*", "--channels", "news",
		"--issuer", "me", "--audience", "tidegate", "--ttl", "10m")
	if details != "" {
		t.Errorf("without --verbose it says %q", details)
	}
	p := accept(t, auth.JWT{Secret: tokenSecret, Issuer: "me", Audience: "tidegate"}, token)
	if left := time.Until(p.Expires); left < 5*time.Minute || left > 10*time.Minute {
		t.Errorf("the token is valid for %v, want 10 minutes", left)
	}
	if !p.Token.Shown || time.Since(p.Token.Issued) > 5*time.Minute {
		t.Errorf("the token is known as %+v, want that it was issued now", p.Token)
	}
	p.Expires, p.Token = time.Time{}, gateway.TokenInfo{}
	want := gateway.Principal{
		User: "alice", Info: []byte(`{"name":"Alice"}`),
		Subscribe: []string{"chat:*", "news"}, Publish: []string{"chat:*"}, Channels: []string{"news"},
	}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("the token is that of %+v, want %+v", p, want)
	}
}

func TestToken_WithoutTTLNeverExpires(t *testing.T) {
	token, _ := makeToken(t, "--secret", tokenSecret, "--ttl", "0")
	if p := accept(t, auth.JWT{Secret: tokenSecret}, token); !p.Expires.IsZero() || p.User != "" {
		t.Errorf("the token is that of %+v, want an anonymous one for ever", p)
	}
}

func TestToken_Verbose(t *testing.T) {
	token, details := makeToken(t, "--secret", tokenSecret, "--user", "alice", "--verbose")
	if !strings.Contains(details, "HS256") || !strings.Contains(details, `"sub":"alice"`) {
		t.Errorf("--verbose says %q", details)
	}
	if strings.Contains(details, tokenSecret) || strings.Contains(details, token) {
		t.Errorf("--verbose gives the secret or the token away: %q", details)
	}
}

func TestToken_OfEveryKindOfKey(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	noError(t, err)
	ecKey, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	noError(t, err)
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	noError(t, err)
	pkcs8 := func(private any) *pem.Block {
		der, err := x509.MarshalPKCS8PrivateKey(private)
		noError(t, err)
		return &pem.Block{Type: "PRIVATE KEY", Bytes: der}
	}
	sec1, err := x509.MarshalECPrivateKey(ecKey)
	noError(t, err)
	for name, test := range map[string]struct {
		private *pem.Block
		public  any
	}{
		"RSA":         {pkcs8(rsaKey), &rsaKey.PublicKey},
		"RSA PKCS #1": {&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)}, &rsaKey.PublicKey},
		"EC":          {pkcs8(ecKey), &ecKey.PublicKey},
		"EC SEC 1":    {&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}, &ecKey.PublicKey},
		"Ed25519":     {pkcs8(edKey), edKey.Public()},
	} {
		t.Run(name, func(t *testing.T) {
			token, _ := makeToken(t, "--key-file", write(t, "file", string(pem.EncodeToMemory(test.private))), "--kid", "k1", "--user", "alice")
			der, err := x509.MarshalPKIXPublicKey(test.public)
			noError(t, err)
			public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
			if p := accept(t, auth.JWT{PublicKeys: public}, token); p.User != "alice" {
				t.Errorf("the token is that of %+v", p)
			}
		})
	}
}

func TestToken_OfTheGatewaysConfiguration(t *testing.T) {
	config := write(t, "file", fmt.Sprintf("auth:\n  jwt: {secret_file: %q, issuer: me, audience: tidegate}\n", write(t, "file", tokenSecret+"\n")))
	token, _ := makeToken(t, "--config", config, "--user", "alice")
	if p := accept(t, auth.JWT{Secret: tokenSecret, Issuer: "me", Audience: "tidegate"}, token); p.User != "alice" {
		t.Errorf("the token is that of %+v", p)
	}
}

func TestToken_SaysWhatIsWrong(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no key":              {[]string{"--config", write(t, "file", "channels: [{match: a}]\n")}, "no key to sign with"},
		"short secret":        {[]string{"--secret", "hunter2"}, "openssl rand -hex 32"},
		"two keys":            {[]string{"--secret", tokenSecret, "--key-file", "x"}, "none of the others"},
		"no such file":        {[]string{"--secret-file", "/nonexistent"}, "no such file"},
		"no key in the file":  {[]string{"--key-file", write(t, "file", tokenSecret)}, "no private key"},
		"info not JSON":       {[]string{"--secret", tokenSecret, "--info", "Alice"}, "not JSON"},
		"user of two words":   {[]string{"--secret", tokenSecret, "--user", "alice b"}, `"sub"`},
		"ttl negative":        {[]string{"--secret", tokenSecret, "--ttl", "-1s"}, "negative"},
		"config with problem": {[]string{"--config", write(t, "file", "auht: {}\n")}, "unknown key"},
		"config by JWKS":      {[]string{"--config", write(t, "file", "auth: {jwt: {jwks_url: 'https://id.example/jwks'}}\n")}, "--key-file"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			err := executeToken(&out, &out, test.args...)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want one with %q", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") || out.Len() > 0 {
				t.Errorf("it says too much: %v, %q", err, out.String())
			}
		})
	}
}

func makeToken(t *testing.T, args ...string) (token, details string) {
	t.Helper()
	var out, diagnostics bytes.Buffer
	noError(t, executeToken(&out, &diagnostics, args...))
	token, ok := strings.CutSuffix(out.String(), "\n")
	if !ok || strings.ContainsAny(token, " \n") {
		t.Fatalf("it prints %q, want a token and a new line", out.String())
	}
	return token, diagnostics.String()
}

func executeToken(out, diagnostics *bytes.Buffer, args ...string) error {
	cmd := newTokenCommand()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetOut(out)
	cmd.SetErr(diagnostics)
	cmd.SetArgs(append([]string{}, args...))
	return cmd.Execute()
}

// accept returns the principal that a gateway sees in the token.
func accept(t *testing.T, c auth.JWT, token string) gateway.Principal {
	t.Helper()
	a, err := auth.New(auth.Config{JWT: c})
	noError(t, err)
	p, err := a.Authenticate(t.Context(), token)
	noError(t, err)
	return p
}

func noError(t *testing.T, err error) {
	t.Helper()
	must(t, err)
}
