package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"regexp"
	"slices"

	"tidegate/gateway"
)

// APIKey is the key of a backend. It allows everything, unless Scope limits it.
type APIKey struct {
	Name  string         // 1 to 64 of A-Z a-z 0-9 _ . - ; appears in logs and metrics
	Key   string         // at least 16 bytes; appears nowhere
	Scope *gateway.Scope // nil means everything
}

const minAPIKey = 16

// Validate returns what is wrong with k, or nil. The error does not contain the Key.
func (k APIKey) Validate() error {
	switch {
	case !regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`).MatchString(k.Name):
		return fmt.Errorf("API key with the name %.80q: want 1 to 64 letters, digits, _ . -", k.Name)
	case len(k.Key) < minAPIKey:
		return fmt.Errorf("API key %q has %d bytes: want at least %d, made by: openssl rand -hex 24", k.Name, len(k.Key), minAPIKey)
	case k.Scope != nil && (len(k.Scope.Channels) == 0 || !k.Scope.Read && !k.Scope.Publish):
		return fmt.Errorf("API key %q opens nothing: give it channels, and read or publish in allow", k.Name)
	case len(k.Key) > maxCredential:
		return fmt.Errorf("API key %q has %d bytes: at most %d are accepted", k.Name, len(k.Key), maxCredential)
	}
	return nil
}

// apiKeys holds hashes, so that a comparison takes the same time however much of a key a
// credential has right.
type apiKeys []hashedKey

type hashedKey struct {
	name  string
	scope *gateway.Scope
	hash  [sha256.Size]byte
}

func (k *hashedKey) principal() gateway.Principal {
	return gateway.Principal{Key: k.name, Scope: k.scope, KeySum: binary.BigEndian.Uint64(k.hash[:])}
}

func hashKeys(keys []APIKey) (apiKeys, error) {
	hashed := make(apiKeys, 0, len(keys))
	for _, key := range keys {
		if err := key.Validate(); err != nil {
			return nil, fmt.Errorf("auth.api_keys: %w", err)
		}
		if taken := hashed.find(key.Key); taken != nil {
			return nil, fmt.Errorf("auth.api_keys: %q and %q have the same key: give each its own", taken.name, key.Name)
		}
		if slices.ContainsFunc(hashed, func(other hashedKey) bool { return other.name == key.Name }) {
			return nil, fmt.Errorf("auth.api_keys: the name %q is there twice: give each its own", key.Name)
		}
		hashed = append(hashed, hashedKey{key.Name, key.Scope, sha256.Sum256([]byte(key.Key))})
	}
	return hashed, nil
}

// find returns the key that matches the credential, or nil. It compares all keys,
// even after a match.
func (keys apiKeys) find(credential string) (found *hashedKey) {
	if len(keys) == 0 {
		return nil
	}
	hash := sha256.Sum256([]byte(credential))
	for i := range keys {
		if subtle.ConstantTimeCompare(keys[i].hash[:], hash[:]) == 1 {
			found = &keys[i]
		}
	}
	return found
}

// maxCredential is the longest credential in bytes. No token that fits into an HTTP
// header needs more.
const maxCredential = 16 << 10
