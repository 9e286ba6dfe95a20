package client

import (
	"context"
	"fmt"
	"sync"
)

// SubscribeOptions say how to subscribe. The zero value asks for what is
// published from now on.
type SubscribeOptions struct {
	Cursor string // begin after this message
	NoEcho bool   // leave out what this client publishes over the same connection
}

// Subscription is one channel's events, in order, each once. It outlives lost
// connections. Receive is called by one goroutine at a time.
type Subscription struct {
	// Fixed at birth.
	client  *Client
	channel string
	noEcho  bool
	events  chan Event
	ready   chan struct{} // closed when the first subscribe is confirmed
	done    chan struct{} // closed when the subscription has ended

	// turn is held while an event is delivered, and waits for room in events.
	// It is taken before Client.mu.
	turn sync.Mutex

	// Guarded by Client.mu.
	from   *link  // whose events count
	cursor string // of the last message that was delivered, or where to begin
	live   bool   // was confirmed once
	last   error  // why it was refused for a moment
	err    error  // why it has ended, to be read after done is closed
}

// Subscribe returns once the gateway has confirmed that it will deliver the
// channel's events. It goes on trying as Publish does. A channel can have one
// Subscription of a client at a time.
func (c *Client) Subscribe(ctx context.Context, channel string, options SubscribeOptions) (*Subscription, error) {
	s, err := c.register(channel, options)
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

// Receive returns the next event. When the subscription has ended, and its last
// event was received, the error says why: *Error, ErrEnded, or ErrClosed.
func (s *Subscription) Receive(ctx context.Context) (Event, error) {
	select {
	case event := <-s.events:
		return event, nil
	default:
	}
	select {
	case event := <-s.events:
		return event, nil
	case <-s.done:
		return s.lastEvent()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (s *Subscription) lastEvent() (Event, error) {
	select {
	case event := <-s.events:
		return event, nil
	default:
		return nil, s.err
	}
}

// Close ends the subscription. It may be called more than once, by anyone.
func (s *Subscription) Close() {
	c := s.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.subscriptions[s.channel] != s {
		return
	}
	c.remove(s)
	s.finish(ErrClosed)
	if c.link != nil {
		c.link.push(command{Type: "unsubscribe", Channel: s.channel}.encode())
	}
}

func (s *Subscription) overdue(ctx context.Context) error {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	if s.last != nil {
		return fmt.Errorf("%w; the last answer was: %w", context.Cause(ctx), s.last)
	}
	return context.Cause(ctx)
}

func (c *Client) register(channel string, options SubscribeOptions) (*Subscription, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.end != nil:
		return nil, c.end
	case c.subscriptions[channel] != nil:
		return nil, ErrSubscribed
	}
	s := &Subscription{
		client:  c,
		channel: channel,
		noEcho:  options.NoEcho,
		events:  make(chan Event, c.config.Buffer),
		ready:   make(chan struct{}),
		done:    make(chan struct{}),
		cursor:  options.Cursor,
	}
	c.subscriptions[channel] = s
	if c.link != nil {
		c.ask(c.link, s)
	}
	return s, nil
}

// remove forgets s. The caller holds mu.
func (c *Client) remove(s *Subscription) {
	if c.subscriptions[s.channel] == s {
		delete(c.subscriptions, s.channel)
	}
}

// finish ends s, once. The caller holds Client.mu, and has removed s.
func (s *Subscription) finish(err error) {
	if s.err == nil {
		s.err = err
		close(s.done)
	}
}

// ask subscribes s on l, from where it is. The caller holds mu.
func (c *Client) ask(l *link, s *Subscription) {
	c.lastID++
	cmd := command{Type: "subscribe", ID: c.lastID, Channel: s.channel, Cursor: s.cursor}
	if s.noEcho {
		cmd.Echo = new(bool)
	}
	l.asks[cmd.ID] = ask{subscription: s, cursor: s.cursor}
	l.push(cmd.encode())
}

func (c *Client) askAgain(l *link, s *Subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.subscriptions[s.channel] == s && c.link == l {
		c.ask(l, s)
	}
}
