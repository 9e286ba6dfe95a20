package auth

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// SigningKey signs tokens with the first algorithm for its kind: HS256, RS256, ES256,
// ES384, ES512 or EdDSA.
type SigningKey struct {
	algorithm string
	material  any // []byte or crypto.Signer
}

// Algorithm returns the alg of the tokens that k signs.
func (k SigningKey) Algorithm() string { return k.algorithm }

// NewSigningSecret returns a key for a secret of at least 32 bytes, which the gateway must
// have in auth.jwt.secret.
func NewSigningSecret(secret string) (SigningKey, error) {
	k, err := newSecretKey([]byte(secret))
	if err != nil {
		return SigningKey{}, err
	}
	return SigningKey{k.algorithms[0], k.material}, nil
}

// ParseSigningKey returns the first private key of a PEM file: RSA, ECDSA or
// Ed25519, not encrypted.
func ParseSigningKey(document []byte) (SigningKey, error) {
	block := privateBlock(document)
	if block == nil {
		return SigningKey{}, errors.New("no private key found: want a PEM file with BEGIN PRIVATE KEY, made by: openssl genpkey -algorithm ed25519")
	}
	private, err := parsePrivateKey(block)
	if err != nil {
		return SigningKey{}, fmt.Errorf("read the private key (%s): %w", block.Type, err)
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return SigningKey{}, fmt.Errorf("a key of the type %T cannot sign", private)
	}
	public, err := newPublicKey(signer.Public())
	if err != nil {
		return SigningKey{}, err
	}
	return SigningKey{public.algorithms[0], private}, nil
}

// privateBlock skips what openssl writes before the key, such as EC PARAMETERS.
func privateBlock(document []byte) *pem.Block {
	for block, rest := pem.Decode(document); block != nil; block, rest = pem.Decode(rest) {
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			return block
		}
	}
	return nil
}

func parsePrivateKey(block *pem.Block) (any, error) {
	switch block.Type {
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		return nil, errors.New("it is encrypted: decrypt it first, by: openssl pkey -in FILE")
	default:
		return x509.ParsePKCS8PrivateKey(block.Bytes)
	}
}
