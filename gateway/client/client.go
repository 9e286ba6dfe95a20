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
)

// Client is one client of a gateway, over one connection after another. All its
// methods may be called concurrently, before Run as well. They wait while the
// client is not connected.
//
// Nothing is read while a Subscription's buffer is full, answers included: a
// goroutine that waits for an answer must not be the one that empties it.
type Client struct {
	config        Config
	out           *outlet
	calls         calls
	subscriptions subscriptions
}

// New returns a client, which connects when it is run.
func New(config Config) *Client {
	config = withDefaults(config)
	out := &outlet{ended: make(chan struct{})}
	return &Client{
		config:        config,
		out:           out,
		calls:         calls{outlet: out, list: map[int64]*call{}},
		subscriptions: subscriptions{outlet: out, buffer: config.Buffer, list: map[string]*Subscription{}, asks: map[int64]ask{}},
	}
}

// Publish publishes m and returns its cursor, which is empty on a channel
// without history, once the gateway has confirmed it. It goes on trying, always
// with the same key, over lost connections and while the gateway says that it
// cannot or that this is too fast. An error is the gateway's *Error, the end of
// ctx, ErrEnded or ErrUncertain; after the last three, and after an end of ctx,
// the message may have been published.
func (c *Client) Publish(ctx context.Context, m Message) (cursor string, err error) {
	p, err := c.Begin(m)
	if err != nil {
		return "", err
	}
	return p.Wait(ctx)
}

// Begin is the first half of a Publish, and does not block: messages go out in
// the order of the calls. Each Publication must be waited for, and bounds on
// their number are the caller's. The order of messages may change only where
// one of them has to be sent again because the gateway refused it for a moment.
func (c *Client) Begin(m Message) (*Publication, error) {
	publish, err := publishing(m)
	if err != nil {
		return nil, err
	}
	return &Publication{calls: &c.calls, call: c.calls.begin(publish)}, nil
}

// Presence returns who is on a channel.
func (c *Client) Presence(ctx context.Context, channel string) ([]Member, error) {
	f, err := c.calls.wait(ctx, c.calls.begin(command{Type: "presence", Channel: channel}))
	if err != nil {
		return nil, err
	}
	return f.Members, nil
}

// Page is a run of a channel's history.
type Page struct {
	Messages []Message // oldest first
	Cursor   string    // to read on from, or to subscribe from
	Lost     bool      // messages before these were asked for and are gone
}

// History returns the messages after cursor, oldest first; without a cursor the
// newest ones. A limit of 0 is as many as the gateway puts into one answer.
func (c *Client) History(ctx context.Context, channel, cursor string, limit int) (Page, error) {
	f, err := c.calls.wait(ctx, c.calls.begin(command{Type: "history", Channel: channel, Cursor: cursor, Limit: limit}))
	if err != nil {
		return Page{}, err
	}
	page := Page{Cursor: f.Cursor, Lost: f.Recovered != nil && !*f.Recovered}
	for i := range f.Messages {
		page.Messages = append(page.Messages, f.Messages[i].message())
	}
	return page, nil
}

// Subscribe returns once the gateway has confirmed that it will deliver the
// channel's events. It goes on trying as Publish does. A channel can have one
// Subscription of a client at a time.
func (c *Client) Subscribe(ctx context.Context, channel string, options SubscribeOptions) (*Subscription, error) {
	s, err := c.subscriptions.add(channel, options)
	if err != nil {
		return nil, fmt.Errorf("subscribe to %q: %w", channel, err)
	}
	select {
	case <-s.ready:
		return s, nil
	case <-s.done:
		return nil, fmt.Errorf("subscribe to %q: %w", channel, s.err)
	case <-ctx.Done():
		s.Close()
		return nil, fmt.Errorf("subscribe to %q: %w", channel, s.overdue(ctx))
	}
}
