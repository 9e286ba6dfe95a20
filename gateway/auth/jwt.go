package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"tidegate/gateway"

	"tidegate/gateway/internal/wall"
)

// JWT configures which tokens are accepted: a token must be signed by one of the keys, and its
// claims must fit. Without a key, no token is accepted.
type JWT struct {
	Secret     string // for HS256, HS384, HS512; at least 32 bytes
	PublicKeys []byte // PEM; for RS*, PS*, ES* or EdDSA, depending on the kind of key; not together with JWKSURL
	JWKSURL    string // URL of a JWK Set with public keys

	Issuer   string        // required value of iss; empty means any
	Audience string        // value that aud must contain; empty means any
	Leeway   time.Duration // tolerated clock difference

	JWKSRefresh time.Duration // interval between fetches; 0 means 5 minutes
	JWKSPause   time.Duration // shortest interval between fetches for an unknown kid; 0 means 10 s
	JWKSTimeout time.Duration // time limit of a fetch; 0 means 5 s
}

func (c JWT) hasKey() bool { return c.Secret != "" || len(c.PublicKeys) > 0 || c.JWKSURL != "" }

// verifier verifies tokens. It is immutable.
type verifier struct {
	parser *jwt.Parser
	leeway time.Duration
	keys   []key // from the config
	remote *jwks // nil if there is no JWKS
}

// newVerifier returns a verifier for c, or nil if c accepts no token. It reuses old if old
// has the JWKS settings of c.
func newVerifier(c JWT, old *jwks, w *wall.Wall) (*verifier, error) {
	switch {
	case !c.hasKey() && (c.Issuer != "" || c.Audience != ""):
		return nil, errors.New("auth.jwt has no key: give secret_file, public_key_file or jwks_url")
	case !c.hasKey():
		return nil, nil
	case len(c.PublicKeys) > 0 && c.JWKSURL != "":
		return nil, errors.New("auth.jwt has both public_key_file and jwks_url: give one of them")
	case c.Leeway < 0 || c.JWKSRefresh < 0 || c.JWKSPause < 0 || c.JWKSTimeout < 0:
		return nil, errors.New("auth.jwt has a negative time: give 0 or more")
	}
	keys, err := c.ownKeys()
	if err != nil {
		return nil, err
	}
	remote, err := c.jwks(old, w)
	if err != nil {
		return nil, err
	}
	return &verifier{parser: newParser(c), leeway: c.Leeway, keys: keys, remote: remote}, nil
}

func (c JWT) ownKeys() (keys []key, err error) {
	if len(c.PublicKeys) > 0 {
		if keys, err = parsePublicKeys(c.PublicKeys); err != nil {
			return nil, err
		}
	}
	if c.Secret != "" {
		k, err := newSecretKey([]byte(c.Secret))
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func newParser(c JWT) *jwt.Parser {
	options := []jwt.ParserOption{jwt.WithLeeway(c.Leeway), jwt.WithStrictDecoding()}
	if c.Issuer != "" {
		options = append(options, jwt.WithIssuer(c.Issuer))
	}
	if c.Audience != "" {
		options = append(options, jwt.WithAudience(c.Audience))
	}
	return jwt.NewParser(options...)
}

func (v *verifier) verify(ctx context.Context, token string) (gateway.Principal, error) {
	var claims Claims
	_, err := v.parser.ParseWithClaims(token, &registered{&claims}, func(t *jwt.Token) (any, error) {
		return v.keysFor(ctx, t)
	})
	if err != nil {
		return gateway.Principal{}, refusal(err, &claims)
	}
	if err := claims.validate(); err != nil {
		return gateway.Principal{}, err
	}
	return claims.principal(v.leeway), nil
}

// keysFor returns the keys that may have signed t.
func (v *verifier) keysFor(ctx context.Context, t *jwt.Token) (any, error) {
	if _, ok := t.Header["crit"]; ok {
		return nil, refuse(malformed, "the token's header crit asks for an extension: none is understood here")
	}
	candidates := v.keys
	if v.remote != nil && !strings.HasPrefix(t.Method.Alg(), "HS") && t.Method != jwt.SigningMethodNone {
		kid, ok := t.Header["kid"].(string)
		if !ok && t.Header["kid"] != nil {
			return nil, refuse(malformed, "the token's header kid is not a string")
		}
		var err error
		if candidates, err = v.remote.find(ctx, kid); err != nil {
			return nil, err
		}
	}
	var set jwt.VerificationKeySet
	for _, k := range candidates {
		if k.fits(t.Method.Alg()) {
			set.Keys = append(set.Keys, k.material)
		}
	}
	if len(set.Keys) == 0 {
		return nil, refuse(algorithm, "the token's alg %s is not that of the gateway's key: sign it with another", t.Method.Alg())
	}
	return set, nil
}

// refusal converts an error of the parser to one for the client.
func refusal(err error, claims *Claims) error {
	if own, ok := errors.AsType[*failure](err); ok {
		return own
	}
	switch {
	case errors.Is(err, jwt.ErrTokenMalformed):
		return refuse(malformed, "the token is no JWT: want header.claims.signature, each of them base64url without padding")
	case errors.Is(err, jwt.ErrTokenUnverifiable):
		return refuse(algorithm, "the token's alg is missing or unknown: want HS256, RS256, PS256, ES256, EdDSA or a longer one of these")
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return refuse(signature, "the token's signature is not by the gateway's key: get a new token from the right issuer")
	case errors.Is(err, jwt.ErrTokenExpired):
		return refuseExpired("the token has expired: get a new one")
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return refuse(notYetValid, "the token is not valid yet: wait, or check the issuer's clock")
	case errors.Is(err, jwt.ErrTokenInvalidIssuer), errors.Is(err, jwt.ErrTokenRequiredClaimMissing) && claims.Issuer == "":
		return refuse(issuer, `the token's claim "iss" is not the issuer that this gateway trusts`)
	case errors.Is(err, jwt.ErrTokenInvalidAudience), errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return refuse(audience, `the token's claim "aud" does not have this gateway's audience in it`)
	default:
		return refuse(malformed, "the token cannot be read")
	}
}

// Sign returns a signed token with the given claims. kid is the id of the key and may be empty.
func Sign(c Claims, k SigningKey, kid string) (string, error) {
	if err := c.validate(); err != nil {
		return "", errors.New(gateway.ErrorOf(err).Message)
	}
	token := jwt.NewWithClaims(jwt.GetSigningMethod(k.algorithm), registered{&c})
	if kid != "" {
		token.Header["kid"] = kid
	}
	signed, err := token.SignedString(k.material)
	if err != nil {
		return "", fmt.Errorf("sign a token by %s: %w", k.algorithm, err)
	}
	return signed, nil
}

// registered implements jwt.Claims.
type registered struct{ *Claims }

var _ jwt.Claims = registered{}

func (r registered) GetExpirationTime() (*jwt.NumericDate, error) { return numeric(r.Expires), nil }
func (r registered) GetNotBefore() (*jwt.NumericDate, error)      { return numeric(r.NotBefore), nil }
func (r registered) GetIssuedAt() (*jwt.NumericDate, error)       { return numeric(r.IssuedAt), nil }
func (r registered) GetIssuer() (string, error)                   { return r.Issuer, nil }
func (r registered) GetSubject() (string, error)                  { return r.User, nil }
func (r registered) GetAudience() (jwt.ClaimStrings, error)       { return r.Audience, nil }

func numeric(t time.Time) *jwt.NumericDate {
	if t.IsZero() {
		return nil
	}
	return &jwt.NumericDate{Time: t}
}

// jwks returns nil if c has no JWKS, and old if its settings are the same.
func (c JWT) jwks(old *jwks, w *wall.Wall) (*jwks, error) {
	if c.JWKSURL == "" {
		return nil, nil
	}
	u, err := url.Parse(c.JWKSURL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return nil, errors.New("auth.jwt.jwks_url is no URL of a host: want https://HOST/PATH")
	}
	if u.Scheme == "http" {
		w.Log.Warn("auth.jwt.jwks_url is not https: whoever is between can forge tokens", "host", u.Host)
	}
	settings := jwksSettings{
		url:     c.JWKSURL,
		refresh: cmp.Or(c.JWKSRefresh, 5*time.Minute),
		pause:   cmp.Or(c.JWKSPause, 10*time.Second),
		timeout: cmp.Or(c.JWKSTimeout, 5*time.Second),
	}
	if old != nil && old.settings == settings {
		return old, nil
	}
	j := &jwks{settings: settings, client: newClient(), wall: w, turn: make(chan struct{}, 1)}
	j.known.Store(&keySet{})
	return j, nil
}
