package gateway

import (
	"context"
	"encoding/json"
	"time"
)

// Principal is who a session or a request acts as. The zero Principal is an
// anonymous client.
type Principal struct {
	User      string          // empty: anonymous
	Info      json.RawMessage // shown with the user in presence; nil: none
	Key       string          // name of the API key: a backend, which may do everything
	Subscribe []string        // patterns of channels that the token opens
	Publish   []string        // the same
	Channels  []string        // subscribed from the start
	Expires   time.Time       // when a session of it ends; zero: never
}

// Backend reports whether p holds an API key.
func (p *Principal) Backend() bool { return p.Key != "" }

// Authenticator tells who a credential belongs to. Its errors are *Error with
// the code Unauthenticated, or Unavailable if it could not find out.
type Authenticator interface {
	Authenticate(ctx context.Context, token string) (Principal, error)
}

// Action is what a principal may do on a channel.
type Action string

const (
	ToSubscribe Action = "subscribe"
	ToPublish   Action = "publish"
)
