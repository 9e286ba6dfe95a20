// Package client speaks Tidegate's native protocol over a WebSocket, and keeps
// its promise on the client's side: no message is lost in silence.
//
// A [Client] stays connected by itself. After a lost connection it subscribes
// again from the cursor of the last message of each channel, and sends again
// what was not answered; a publish has an idempotency key, so that it happens
// once. Where messages may have been missed all the same, the subscription says
// so with a [Gap].
package client

import (
	"context"
	"fmt"
	"net/http"
	"sync"
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

// Client is one client of a gateway, over one connection after another. All its
// methods may be called concurrently, before Run as well. They wait while the
// client is not connected.
//
// Nothing is read while a Subscription's buffer is full, answers included: a
// goroutine that waits for an answer must not be the one that empties it.
type Client struct {
	// Fixed at birth.
	config Config
	ended  chan struct{} // closed when Run returns

	// Guarded by mu.
	mu            sync.Mutex
	end           error // why Run returned, to be read after ended is closed
	link          *link // what new commands go out on; nil while there is none
	calls         map[int64]*call
	subscriptions map[string]*Subscription
	lastID        int64
}

// New returns a client, which connects when it is run.
func New(config Config) *Client {
	return &Client{
		config:        withDefaults(config),
		ended:         make(chan struct{}),
		calls:         map[int64]*call{},
		subscriptions: map[string]*Subscription{},
	}
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

// Run keeps the client connected until ctx ends, and returns nil then, or a
// *Refusal when the gateway does not want this client. It is called once. When
// it returns every goroutine of the client has ended, and every call and
// Subscription fails.
func (c *Client) Run(ctx context.Context) error {
	err := c.stayConnected(ctx)
	if ctx.Err() != nil {
		err = nil
	}
	c.finish(err)
	return err
}

func (c *Client) stayConnected(ctx context.Context) error {
	var current *link
	pause := backoff{config: &c.config}
	for {
		next, err := c.connect(ctx, &pause)
		if err == nil {
			c.attach(next)
			c.config.Link(nil)
			c.leave(ctx, current, next)
			current = next
			err = c.follow(ctx, current)
		}
		switch {
		case err == nil: // the gateway asks to move: current lives until there is another
		case ctx.Err() != nil, isFinal(err):
			c.drop(current, err)
			return err
		default:
			c.drop(current, err)
			current = nil
			c.config.Link(err)
			pause.lost(next)
			if err := pause.wait(ctx); err != nil {
				return err
			}
		}
	}
}

// connect makes a connection, with as many attempts as it takes. Its error is
// final, or the end of ctx.
func (c *Client) connect(ctx context.Context, pause *backoff) (*link, error) {
	for {
		l, err := dial(ctx, c)
		if err == nil {
			pause.connected = true
			return l, nil
		}
		if ctx.Err() != nil || isFinal(err) && !pause.forgives(err) {
			return nil, err
		}
		c.config.Link(err)
		if err := pause.wait(ctx); err != nil {
			return nil, err
		}
	}
}

// attach makes l the link for what goes out from now on, and sends what waits.
func (c *Client) attach(l *link) {
	l.start()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link = l
	for _, s := range c.subscriptions {
		c.ask(l, s)
	}
	l.settleIfAnswered()
	c.resend(l)
}

// leave closes old, if there is one, once next has taken over its
// subscriptions: until then, both are read.
func (c *Client) leave(ctx context.Context, old, next *link) {
	if old == nil {
		return
	}
	patience := time.NewTimer(c.config.AttemptTimeout)
	defer patience.Stop()
	select {
	case <-next.settled:
	case <-next.done:
	case <-old.done:
	case <-patience.C:
	case <-ctx.Done():
	}
	old.close()
}

// follow waits for the end of l, and returns why, or nil when the gateway asks
// to move to another connection.
func (c *Client) follow(ctx context.Context, l *link) error {
	select {
	case <-l.moving:
		return nil
	case <-l.done:
		return l.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// drop closes l, if there is one, and keeps what was on it for the next.
func (c *Client) drop(l *link, err error) {
	if l == nil {
		return
	}
	l.close()
	c.mu.Lock()
	if c.link == l {
		c.link = nil
	}
	c.mu.Unlock()
	if isTooLarge(err) {
		c.failLargest(l)
	}
}

// finish fails everything that waits.
func (c *Client) finish(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end = ErrEnded
	if err != nil {
		c.end = fmt.Errorf("%w: %w", ErrEnded, err)
	}
	close(c.ended)
	for _, s := range c.subscriptions {
		s.finish(c.end)
	}
}
