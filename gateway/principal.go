package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"time"

	"tidegate/gateway/rules"
)

// Principal is the identity that a session or a request acts as. The zero Principal is an
// anonymous client.
type Principal struct {
	User      string          // empty: anonymous
	Info      json.RawMessage // shown with the user in presence; nil: none
	Key       string          // name of the API key; set only for a backend
	Subscribe []string        // patterns of channels that the token lets the client subscribe to
	Publish   []string        // patterns of channels that the token lets the client publish to
	Channels  []string        // the session is subscribed to these when it opens
	Online    bool            // those who watch the user are told that it is online
	Watched   []string        // users whose online status the client is told
	Expires   time.Time       // when its sessions end; zero: never
	Token     TokenInfo       // the token that the client presented
	Scope     *Scope          // what the API key may do; nil: everything
	Elsewhere json.RawMessage // identity on a single channel: see Identity
	KeySum    uint64          // distinguishes API keys of the same name; 0: it does not
}

// MostInfo is the most bytes of JSON that the infos of a user may have.
const MostInfo = 1 << 10

// TokenInfo describes a client's token.
type TokenInfo struct {
	Shown   bool
	ID      string    // claim jti, used to revoke the token; empty: it has none
	Issued  time.Time // claim iat, used to revoke tokens by age; zero: it has none
	Channel string    // claim channel: the token admits its user to this channel only and cannot open a session; empty: it can
}

// Scope limits an API key to reading or publishing on some channels.
type Scope struct {
	Channels []string // patterns
	Read     bool     // subscribe, history, presence
	Publish  bool
}

// permits reports whether the key may perform a on a channel. A nil Scope permits all.
func (s *Scope) permits(a Action, channel string) bool {
	if s == nil {
		return true
	}
	may := s.Read
	if a == ToPublish {
		may = s.Publish
	}
	return may && matchesAny(s.Channels, channel)
}

// isZero reports whether p is the zero Principal.
func (p *Principal) isZero() bool {
	return p.anonymous() && p.Info == nil && p.Subscribe == nil && p.Publish == nil && p.Channels == nil && !p.Online && p.Watched == nil && p.Expires.IsZero() && p.Token == (TokenInfo{}) && p.Scope == nil && p.Elsewhere == nil && p.KeySum == 0
}

// Backend reports whether p holds an API key.
func (p *Principal) Backend() bool { return p.Key != "" }

func (p *Principal) anonymous() bool { return p.User == "" && p.Key == "" }

// spaced puts an idempotency key into the key space of p's user, so that clients cannot use
// up the keys of others: the second publish with the same key is dropped. All backends share
// one key space with those who publish without a gateway; anonymous clients share another.
func (p *Principal) spaced(key string) string {
	switch {
	case key == "" || p.Backend():
		return key
	case p.User == "":
		return "anonymous " + key
	}
	sum := sha256.Sum256([]byte(p.User))
	return "user " + base64.RawURLEncoding.EncodeToString(sum[:9]) + " " + key
}

// Authenticator identifies the owner of a credential. Its errors are *Error with the code
// Unauthenticated, or Unavailable if it could not find out.
type Authenticator interface {
	Authenticate(ctx context.Context, token string) (Principal, error)
}

// Metric labels of credentials that the gateway refuses, whatever the Authenticator says.
const (
	refusedMalformed  = "malformed"
	refusedUnknownKey = "unknown_key"
	refusedBanned     = "banned"
	refusedRevoked    = "revoked"
	refusedNoToken    = "no_token"
)

// Action is something that a principal may be allowed to do on a channel.
type Action string

const (
	ToSubscribe Action = "subscribe"
	ToPublish   Action = "publish"
)

func (a Action) verb() string {
	if a == ToPublish {
		return "publish to"
	}
	return "subscribe to"
}

// allows reports whether the rule lets a client perform a on the channel.
func allows(r *rules.Rule, p *Principal, a Action, channel string) bool {
	if a == ToSubscribe && rules.IsPersonal(channel) {
		return p.User != "" && channel == rules.PersonalChannel(p.User)
	}
	who, patterns := r.Subscribe, p.Subscribe
	if a == ToPublish {
		who, patterns = r.Publish, p.Publish
	}
	switch who {
	case rules.Anyone:
		return true
	case rules.Authenticated:
		return !p.anonymous()
	case rules.Token:
		return matchesAny(patterns, channel)
	}
	return false
}

func matchesAny(patterns []string, channel string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return rules.Matches(pattern, channel) })
}

// checkUser returns an error if user is not a valid name. No token can carry an invalid name,
// so a command about it would concern nobody.
func checkUser(user string) error {
	if user == "" {
		return failf(BadRequest, "the user is missing")
	}
	if err := rules.CheckChannel(rules.PersonalChannel(user)); err != nil {
		return failf(BadRequest, "nobody can be the user %.80q: as the name of a channel, %v", user, err)
	}
	return nil
}
