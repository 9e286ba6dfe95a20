package client

import (
	"cmp"
	"context"
	"net/http"
	"time"
)

// Config configures a Client. Only URL is required.
type Config struct {
	// URL is the URL of the gateway, such as ws://127.0.0.1:8080/ws.
	URL string

	// Token returns the token to authenticate with. It is called before each attempt to
	// connect, so it can renew a token that expires. A nil Token or an empty token means an
	// anonymous client. An error fails the attempt, which is retried later.
	Token func(context.Context) (string, error)

	// Link, if not nil, is called with nil after each successful connect, and with the
	// cause after each lost connection or failed attempt. It must not block.
	Link func(error)

	// Buffer is the number of events that a Subscription buffers, 256 if 0. While a buffer
	// is full, the client reads nothing from the gateway.
	Buffer int

	// RetryDelay is the longest pause before the second attempt to connect, 500 ms if 0. It
	// doubles with each attempt up to MaxRetryDelay, 20 s if 0. The actual pause is random,
	// between nothing and that length.
	RetryDelay, MaxRetryDelay time.Duration

	// AttemptTimeout limits each attempt to connect, 10 s if 0.
	AttemptTimeout time.Duration

	// HTTPClient makes the handshake, http.DefaultClient if nil.
	HTTPClient *http.Client
}

// StaticToken returns a Config.Token function that always returns the same token.
func StaticToken(token string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return token, nil }
}

func withDefaults(c Config) Config {
	if c.Link == nil {
		c.Link = func(error) {}
	}
	c.Buffer = cmp.Or(c.Buffer, 256)
	c.RetryDelay = cmp.Or(c.RetryDelay, 500*time.Millisecond)
	c.MaxRetryDelay = cmp.Or(c.MaxRetryDelay, 20*time.Second)
	c.AttemptTimeout = cmp.Or(c.AttemptTimeout, 10*time.Second)
	return c
}

func (c *Config) header(ctx context.Context) (http.Header, error) {
	if c.Token == nil {
		return nil, nil
	}
	token, err := c.Token(ctx)
	if err != nil || token == "" {
		return nil, err
	}
	return http.Header{"Authorization": {"Bearer " + token}}, nil
}
