package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/MicahParks/jwkset"
)

// maxKeys limits the work that a token without a kid can cause.
const maxKeys = 64

// parseJWKS parses a JWK Set (RFC 7517, 5). It returns the keys that can verify tokens, and
// the errors of those that it skipped. It never accepts secrets ("kty":"oct") from a JWKS,
// because everyone who can read it could sign.
func parseJWKS(document []byte) (keys []key, skipped error, err error) {
	var set jwkset.JWKSMarshal
	if err := json.Unmarshal(document, &set); err != nil {
		return nil, nil, fmt.Errorf("not a JWK Set: %w", err)
	}
	if len(set.Keys) > maxKeys {
		return nil, nil, fmt.Errorf("the JWK Set has %d keys: at most %d are accepted", len(set.Keys), maxKeys)
	}
	for i, jwk := range set.Keys {
		k, err := keyOf(jwk)
		if err != nil {
			skipped = errors.Join(skipped, fmt.Errorf("key %d (kid %.64q): %w", i+1, jwk.KID, err))
			continue
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, nil, errors.Join(errors.New("the JWK Set has no key that verifies tokens"), skipped)
	}
	return keys, skipped, nil
}

func keyOf(marshalled jwkset.JWKMarshal) (key, error) {
	if marshalled.USE == jwkset.UseEnc {
		return key{}, errors.New("its use is encryption")
	}
	if len(marshalled.KEYOPS) > 0 && !slices.Contains(marshalled.KEYOPS, jwkset.KeyOpsVerify) {
		return key{}, errors.New("its key_ops lack verify")
	}
	// The set itself is trusted. Some issuers' certificates do not fit their keys, and Auth0's thumbprints are those of RFC 7517 in hexadecimal.
	marshalled.X5C, marshalled.X5U, marshalled.X5T, marshalled.X5TS256 = nil, "", "", ""
	jwk, err := jwkset.NewJWKFromMarshal(marshalled, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	if err != nil {
		return key{}, err
	}
	k, err := newPublicKey(jwk.Key())
	if err != nil {
		return key{}, err
	}
	if algorithm := marshalled.ALG.String(); algorithm != "" {
		if !k.fits(algorithm) {
			return key{}, fmt.Errorf("its alg %.16q is none of %v", algorithm, k.algorithms)
		}
		k.algorithms = []string{algorithm}
	}
	k.id = marshalled.KID
	return k, nil
}
