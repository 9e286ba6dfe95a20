package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"time"

	"tidegate/gateway/rules"
)

// Principal is who a session or a request acts as. The zero Principal is an
// anonymous client.
type Principal struct {
	User      string          // empty: anonymous
	Info      json.RawMessage // shown with the user in presence; nil: none
	Key       string          // name of the API key: a backend
	Subscribe []string        // patterns of channels that the token opens
	Publish   []string        // the same
	Channels  []string        // subscribed from the start
	Online    bool            // those who watch the user are told that it is here
	Watched   []string        // users of whom it is told whether they are online
	Expires   time.Time       // when a session of it ends; zero: never
	Token     TokenInfo       // that was shown
	Scope     *Scope          // what the API key is good for; nil: for everything
	Elsewhere json.RawMessage // of who acts on one channel: see Identity
	KeySum    uint64          // tells the API key from others of its name; 0: nothing does
}

// MostInfo is how many bytes of JSON the infos of a user have at most.
const MostInfo = 1 << 10

// TokenInfo is what is known of a client's token.
type TokenInfo struct {
	Shown   bool
	ID      string    // claim jti, to revoke it by; empty: it has none
	Issued  time.Time // claim iat, to revoke it by; zero: it does not say
	Channel string    // claim channel: it admits its user to this channel, and lets nobody in; empty: it lets in
}

// Scope is what an API key is good for, if not for everything: reading or publishing
// on some channels.
type Scope struct {
	Channels []string // patterns
	Read     bool     // subscribe, history, presence
	Publish  bool
}

// permits reports whether the key may do a on a channel.
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

// isZero reports whether nothing at all is known of p.
func (p *Principal) isZero() bool {
	return p.anonymous() && p.Info == nil && p.Subscribe == nil && p.Publish == nil && p.Channels == nil && !p.Online && p.Watched == nil && p.Expires.IsZero() && p.Token == (TokenInfo{}) && p.Scope == nil && p.Elsewhere == nil && p.KeySum == 0
}

// Backend reports whether p holds an API key.
func (p *Principal) Backend() bool { return p.Key != "" }

func (p *Principal) anonymous() bool { return p.User == "" && p.Key == "" }

// spaced returns an idempotency key of p's in the key space of its user, so that nobody can
// use up the key of another: whoever comes second with a key is not published. Backends have
// one space together, which is that of whoever publishes without a gateway, and anonymous
// clients another one.
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

// Authenticator tells who a credential belongs to. Its errors are *Error with
// the code Unauthenticated, or Unavailable if it could not find out.
type Authenticator interface {
	Authenticate(ctx context.Context, token string) (Principal, error)
}

// The labels in metrics of credentials that are refused, whatever their Authenticator
// says.
const (
	refusedMalformed  = "malformed"
	refusedUnknownKey = "unknown_key"
	refusedBanned     = "banned"
	refusedRevoked    = "revoked"
	refusedNoToken    = "no_token"
)

// Action is what a principal may do on a channel.
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

// allows decides for a client.
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
	for _, pattern := range patterns {
		if rules.Matches(pattern, channel) {
			return true
		}
	}
	return false
}
