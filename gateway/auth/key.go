package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
)

// key verifies tokens, only with its own algorithms. Otherwise a public key could be used
// as an HMAC secret.
type key struct {
	id         string   // kid of a JWKS key; may be empty
	algorithms []string // RFC 7518, 3.1 and RFC 8037, 3.1
	material   any      // []byte, *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
}

func (k key) fits(algorithm string) bool { return slices.Contains(k.algorithms, algorithm) }

const (
	minSecret  = 32   // in bytes: the size of the shortest hash (RFC 7518, 3.2)
	minRSABits = 2048 // RFC 7518, 3.3
	maxRSABits = 8192 // as in crypto/tls: larger keys take seconds of CPU time
)

func newSecretKey(secret []byte) (key, error) {
	switch {
	case strings.Contains(string(secret), "-----BEGIN "):
		return key{}, fmt.Errorf("auth.jwt.secret is a PEM document: give a public key as public_key_file")
	case len(secret) < minSecret:
		return key{}, fmt.Errorf("auth.jwt.secret has %d bytes: want at least %d, made by: openssl rand -hex 32", len(secret), minSecret)
	}
	return key{algorithms: []string{"HS256", "HS384", "HS512"}, material: slices.Clone(secret)}, nil
}

func newPublicKey(material any) (key, error) {
	switch public := material.(type) {
	case *rsa.PublicKey:
		if bits := public.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return key{}, fmt.Errorf("the RSA key has %d bits: want at least %d, and at most %d", bits, minRSABits, maxRSABits)
		}
		return key{algorithms: []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}, material: public}, nil
	case *ecdsa.PublicKey:
		algorithm, ok := map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}[public.Params().Name]
		if !ok {
			return key{}, fmt.Errorf("the curve %s is not supported: want P-256, P-384 or P-521", public.Params().Name)
		}
		return key{algorithms: []string{algorithm}, material: public}, nil
	case ed25519.PublicKey:
		return key{algorithms: []string{"EdDSA"}, material: public}, nil
	default:
		return key{}, fmt.Errorf("a key of the type %T is not supported: want RSA, ECDSA or Ed25519", material)
	}
}

// parsePublicKeys parses a PEM file with one or more public keys or certificates.
func parsePublicKeys(document []byte) ([]key, error) {
	var keys []key
	for block, rest := pem.Decode(document); block != nil; block, rest = pem.Decode(rest) {
		material, err := parsePublicKey(block)
		if err != nil {
			return nil, fmt.Errorf("auth.jwt.public_key_file: block %d (%s): %w", len(keys)+1, block.Type, err)
		}
		k, err := newPublicKey(material)
		if err != nil {
			return nil, fmt.Errorf("auth.jwt.public_key_file: block %d: %w", len(keys)+1, err)
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("auth.jwt.public_key_file holds no PEM block: want BEGIN PUBLIC KEY")
	}
	return keys, nil
}

func parsePublicKey(block *pem.Block) (any, error) {
	switch {
	case block.Type == "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	case block.Type == "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case block.Type == "CERTIFICATE":
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return certificate.PublicKey, nil
	case strings.HasSuffix(block.Type, "PRIVATE KEY"):
		return nil, fmt.Errorf("a gateway needs no private key: give the public one, made by: openssl pkey -in FILE -pubout")
	default:
		return nil, fmt.Errorf("not a public key: want BEGIN PUBLIC KEY")
	}
}
