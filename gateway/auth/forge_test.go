package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"sync"
	"testing"

	"tidegate/gateway/auth"
)

// The tests sign with the standard library, not with the code under test.

const secret = "a secret of more than thirty-two bytes"

var encode = base64.RawURLEncoding.EncodeToString

// forge returns a token with arbitrary contents.
func forge(header, claims string, sign func(text string) []byte) string {
	text := encode([]byte(header)) + "." + encode([]byte(claims))
	return text + "." + encode(sign(text))
}

func unsigned(string) []byte { return nil }

func hs256(secret string) func(string) []byte {
	return func(text string) []byte {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
}

func rs256(t testing.TB, k *rsa.PrivateKey) func(string) []byte {
	return func(text string) []byte {
		hash := sha256.Sum256([]byte(text))
		signature, err := rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, hash[:])
		must(t, err)
		return signature
	}
}

func ps256(t testing.TB, k *rsa.PrivateKey) func(string) []byte {
	return func(text string) []byte {
		hash := sha256.Sum256([]byte(text))
		signature, err := rsa.SignPSS(rand.Reader, k, crypto.SHA256, hash[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		must(t, err)
		return signature
	}
}

func es256(t testing.TB, k *ecdsa.PrivateKey) func(string) []byte {
	return func(text string) []byte {
		hash := sha256.Sum256([]byte(text))
		r, s, err := ecdsa.Sign(rand.Reader, k, hash[:])
		must(t, err)
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	}
}

func eddsa(k ed25519.PrivateKey) func(string) []byte {
	return func(text string) []byte { return ed25519.Sign(k, []byte(text)) }
}

// keys are generated once, because an RSA key takes long.
type keys struct {
	rsa, otherRSA *rsa.PrivateKey
	ec            *ecdsa.PrivateKey
	ed            ed25519.PrivateKey
}

var makeKeys = sync.OnceValues(func() (k keys, err error) {
	if k.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return k, err
	}
	if k.otherRSA, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return k, err
	}
	if k.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return k, err
	}
	_, k.ed, err = ed25519.GenerateKey(rand.Reader)
	return k, err
})

func testKeys(t testing.TB) keys {
	t.Helper()
	k, err := makeKeys()
	must(t, err)
	return k
}

func publicPEM(t testing.TB, publics ...any) []byte {
	t.Helper()
	var document []byte
	for _, public := range publics {
		der, err := x509.MarshalPKIXPublicKey(public)
		must(t, err)
		document = append(document, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})...)
	}
	return document
}

func privatePEM(t testing.TB, private any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// jwk is a key of a JWK Set, for JSON.
type jwk map[string]any

func rsaJWK(kid string, k *rsa.PrivateKey) jwk {
	return jwk{
		"kty": "RSA", "kid": kid, "use": "sig",
		"n": encode(k.N.Bytes()), "e": encode(big.NewInt(int64(k.E)).Bytes()),
	}
}

// certificate returns a certificate of k as a key set has it.
func certificate(t *testing.T, k *rsa.PrivateKey) string {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	must(t, err)
	return base64.StdEncoding.EncodeToString(der)
}

func ecJWK(kid string, k *ecdsa.PrivateKey) jwk {
	point, err := k.PublicKey.Bytes() // 4, X, Y
	if err != nil {
		panic(err)
	}
	return jwk{"kty": "EC", "kid": kid, "crv": "P-256", "x": encode(point[1:33]), "y": encode(point[33:])}
}

func edJWK(kid string, k ed25519.PrivateKey) jwk {
	return jwk{"kty": "OKP", "kid": kid, "crv": "Ed25519", "x": encode(k.Public().(ed25519.PublicKey))}
}

// with returns a copy of k with one more field.
func (k jwk) with(name string, value any) jwk {
	more := jwk{name: value}
	for name, value := range k {
		if _, ok := more[name]; !ok {
			more[name] = value
		}
	}
	return more
}

func keySet(t testing.TB, keys ...jwk) []byte {
	t.Helper()
	document, err := json.Marshal(map[string]any{"keys": keys})
	must(t, err)
	return document
}

func newAuth(t testing.TB, c auth.Config) *auth.Auth {
	t.Helper()
	a, err := auth.New(c)
	must(t, err)
	return a
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
