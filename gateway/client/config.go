package client

import (
	"context"
	"net/http"
	"time"
)

// Config says how to connect. Only the URL is needed.
type Config struct {
	// URL is the gateway's, such as ws://127.0.0.1:8080/ws.
	URL string

	// Token returns what to authenticate with. It is asked before each attempt
	// to connect, so that a token that expires can be renewed. Nil, or an empty
	// token: anonymous.
	Token func(context.Context) (string, error)

	// Link, if it is set, is told nil when a connection is made and the cause
	// when one is lost or an attempt fails. It must not block.
	Link func(error)

	// Buffer is how many events a Subscription holds until they are received;
	// 256 if it is 0. While one is full nothing more is read from the gateway.
	Buffer int

	// RetryDelay is about how long to wait before a second attempt, 500 ms if it
	// is 0. The wait doubles up to MaxRetryDelay, 20 s if it is 0, and is spread
	// at random from nothing to its full length.
	RetryDelay, MaxRetryDelay time.Duration

	// AttemptTimeout bounds one attempt to connect; 10 s if it is 0.
	AttemptTimeout time.Duration

	// HTTPClient makes the handshake; http.DefaultClient if it is nil.
	HTTPClient *http.Client
}

// StaticToken is a Config.Token that is always the same.
func StaticToken(token string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return token, nil }
}

func withDefaults(c Config) Config {
	if c.Link == nil {
		c.Link = func(error) {}
	}
	if c.Buffer == 0 {
		c.Buffer = 256
	}
	if c.RetryDelay == 0 {
		c.RetryDelay = 500 * time.Millisecond
	}
	if c.MaxRetryDelay == 0 {
		c.MaxRetryDelay = 20 * time.Second
	}
	if c.AttemptTimeout == 0 {
		c.AttemptTimeout = 10 * time.Second
	}
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
