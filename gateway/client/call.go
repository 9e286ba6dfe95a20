package client

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// keyLifetime is how long a gateway surely knows a key that it has seen.
const keyLifetime = 4 * time.Minute

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

// Publication is a publish that may not have been confirmed yet.
type Publication struct {
	client *Client
	call   *call
}

// Begin is the first half of a Publish, and does not block: messages go out in
// the order of the calls. Each Publication must be waited for, and bounds on
// their number are the caller's. The order of messages may change only where
// one of them has to be sent again because the gateway refused it for a moment.
func (c *Client) Begin(m Message) (*Publication, error) {
	publish := command{Type: "publish", Channel: m.Channel, Event: m.Event, Tags: m.Tags, Key: m.Key, Transient: m.Transient}
	if publish.Key == "" {
		publish.Key = rand.Text()
	}
	switch m.Kind {
	case JSON:
		if !json.Valid(m.Payload) {
			return nil, fmt.Errorf("publish on %q: the payload is not JSON: %.40q", m.Channel, m.Payload)
		}
		publish.Data = m.Payload
	case Text:
		text := string(m.Payload)
		publish.Text = &text
	default:
		publish.Binary = &m.Payload
	}
	return &Publication{client: c, call: c.begin(publish)}, nil
}

// Wait returns the message's cursor once it is confirmed. If ctx ends before,
// the message is not sent any more, but may have been published. Wait is called
// once.
func (p *Publication) Wait(ctx context.Context) (cursor string, err error) {
	f, err := p.client.wait(ctx, p.call)
	if err != nil {
		return "", err
	}
	return f.Cursor, nil
}

// Member is who is on a channel: a user, or, where the channel's rule says so, a session.
type Member struct {
	User     string          `json:"user"`
	Session  string          `json:"session,omitempty"`
	Info     json.RawMessage `json:"info,omitempty"` // from the user's token; nil: none
	Sessions int             `json:"sessions"`       // in the whole cluster
}

// Presence returns who is on a channel.
func (c *Client) Presence(ctx context.Context, channel string) ([]Member, error) {
	f, err := c.wait(ctx, c.begin(command{Type: "presence", Channel: channel}))
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
	f, err := c.wait(ctx, c.begin(command{Type: "history", Channel: channel, Cursor: cursor, Limit: limit}))
	if err != nil {
		return Page{}, err
	}
	page := Page{Cursor: f.Cursor, Lost: f.Recovered != nil && !*f.Recovered}
	for i := range f.Messages {
		page.Messages = append(page.Messages, f.Messages[i].message())
	}
	return page, nil
}

// call is a command that waits for its answer, over as many links as it takes.
// Sent twice, it does no more than sent once.
type call struct {
	// Fixed at birth.
	id      int64
	frame   []byte
	publish bool
	result  chan answer // holds the one answer

	// Guarded by Client.mu.
	link *link     // it was last sent on
	sent time.Time // first
	last error     // why it was refused for a moment
}

type answer struct {
	frame *frame
	err   error
}

func (c *Client) begin(cmd command) *call {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastID++
	cmd.ID = c.lastID
	call := &call{id: cmd.ID, frame: cmd.encode(), publish: cmd.Type == "publish", result: make(chan answer, 1)}
	c.calls[call.id] = call
	if c.link != nil {
		c.send(c.link, call)
	}
	return call
}

// send puts a call on a link. The caller holds mu.
func (c *Client) send(l *link, call *call) {
	call.link = l
	if call.sent.IsZero() {
		call.sent = time.Now()
	}
	l.push(call.frame)
}

// wait returns the call's answer, or gives it up when ctx ends.
func (c *Client) wait(ctx context.Context, call *call) (*frame, error) {
	defer c.forget(call)
	select {
	case a := <-call.result:
		return a.frame, a.err
	case <-c.ended:
		return nil, c.end
	case <-ctx.Done():
		return nil, c.overdue(ctx, call)
	}
}

func (c *Client) overdue(ctx context.Context, call *call) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case call.last != nil:
		return fmt.Errorf("%w; the last answer was: %w", context.Cause(ctx), call.last)
	case call.link == nil:
		return fmt.Errorf("not connected: %w", context.Cause(ctx))
	}
	return fmt.Errorf("no answer: %w", context.Cause(ctx))
}

func (c *Client) forget(call *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.calls, call.id)
}

// answer takes the answer of whatever link it came on.
func (c *Client) answer(f *frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if call := c.calls[f.ID]; call != nil {
		c.complete(call, answer{frame: f})
	}
}

// complete ends a call. The caller holds mu.
func (c *Client) complete(call *call, a answer) {
	delete(c.calls, call.id)
	call.result <- a
}

// resend sends what is not answered on a new link, in order, but for publishes
// that the gateway may not recognise any more. The caller holds mu.
func (c *Client) resend(l *link) {
	calls := make([]*call, 0, len(c.calls))
	for _, call := range c.calls {
		calls = append(calls, call)
	}
	slices.SortFunc(calls, func(a, b *call) int { return int(a.id - b.id) })
	for _, call := range calls {
		c.sendOnce(l, call)
	}
}

// sendAgain sends a call that was refused for a moment, unless it was answered
// or went to another link meanwhile.
func (c *Client) sendAgain(l *link, call *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls[call.id] == call && call.link == l {
		c.sendOnce(l, call)
	}
}

// sendOnce sends a call if that cannot publish twice. The caller holds mu.
func (c *Client) sendOnce(l *link, call *call) {
	if call.publish && !call.sent.IsZero() && time.Since(call.sent) > keyLifetime {
		c.complete(call, answer{err: ErrUncertain})
		return
	}
	c.send(l, call)
}

// failLargest ends the largest publish that went out on l: the gateway closes a
// connection for a frame that is too large, and does not say which.
func (c *Client) failLargest(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var largest *call
	for _, call := range c.calls {
		if call.link == l && (largest == nil || len(call.frame) > len(largest.frame)) {
			largest = call
		}
	}
	if largest != nil {
		c.complete(largest, answer{err: &Error{Code: "too_large", Message: "the gateway does not take frames of this size"}})
	}
}
