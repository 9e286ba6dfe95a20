// Package client implements a client of Tidegate's native protocol over WebSocket. It keeps
// the gateway's promise on the client's side: no message is lost without notice.
//
// A [Client] reconnects by itself. It then subscribes again, from the cursor of the last
// message of each channel, and sends unanswered commands again. A publish has an
// idempotency key, so that it happens only once. If messages may still have been missed,
// the subscription receives a [Gap].
package client

import (
	"context"
	"fmt"
)

// Client is a client of a gateway that uses one connection after another. All methods are safe
// for concurrent use and may be called before Run. They block while the client is not connected.
//
// The client reads nothing, not even answers, while a Subscription's buffer is full. So the
// goroutine that receives from a Subscription must not wait for an answer.
type Client struct {
	config        Config
	out           *outlet
	calls         calls
	subscriptions subscriptions
}

// New returns a Client. It connects once Run is called.
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

// Publish publishes m and returns its cursor once the gateway has confirmed it. The cursor
// is empty if the channel has no history. Publish retries, always with the same key, after
// a lost connection and while the gateway answers that it is unavailable or that the rate
// is too high. The error is the gateway's *Error, ctx's error, ErrEnded or ErrUncertain.
// After the last three, the message may have been published.
func (c *Client) Publish(ctx context.Context, m Message) (cursor string, err error) {
	p, err := c.Begin(m)
	if err != nil {
		return "", err
	}
	return p.Wait(ctx)
}

// Begin starts a Publish and does not block. Messages are sent in the order of the calls;
// the order may change only if the gateway temporarily refuses one, which is then sent
// again. While a channel is unavailable, its messages wait, and those of other channels do not. If
// they come too fast for the gateway, they wait and are sent more slowly. The caller must call Wait
// on each Publication, and must limit how many are pending.
func (c *Client) Begin(m Message) (*Publication, error) {
	publish, err := publishing(m)
	if err != nil {
		return nil, err
	}
	return &Publication{calls: &c.calls, call: c.calls.begin(publish)}, nil
}

// Presence returns the members of a channel.
func (c *Client) Presence(ctx context.Context, channel string) ([]Member, error) {
	f, err := c.calls.wait(ctx, c.calls.begin(command{Type: "presence", Channel: channel}))
	if err != nil {
		return nil, err
	}
	return f.Members, nil
}

// Page is a part of a channel's history.
type Page struct {
	Messages []Message // oldest first
	Cursor   string    // to read on from, or to subscribe from
	Lost     bool      // messages before these were asked for but no longer exist
}

// History returns the messages after cursor, or the newest ones if cursor is empty, oldest
// first. A limit of 0 means as many as the gateway puts into one answer.
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

// Subscribe returns once the gateway has confirmed the subscription. It retries as Publish
// does. A client can have only one Subscription per channel at a time; otherwise the error
// is ErrSubscribed.
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
