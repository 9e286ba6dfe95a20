package client

import (
	"context"
	"fmt"
	"time"
)

// Run keeps the client connected until ctx ends, and then returns nil. If the gateway
// permanently refuses the client, Run returns a *Refusal. It must be called only once. When
// it returns, all goroutines of the client have ended, and all calls and Subscriptions fail.
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
		case err == nil: // the gateway asks the client to move: current stays until there is another link
		case ctx.Err() != nil, isFinal(err):
			c.drop(current, err)
			return err
		default:
			c.drop(current, err)
			current = nil
			c.config.Link(err)
			pause.lost(next.born)
			if err := pause.wait(ctx); err != nil {
				return err
			}
		}
	}
}

// connect retries until it has a connection. It returns an error if the client is
// permanently refused or ctx ends.
func (c *Client) connect(ctx context.Context, pause *backoff) (*link, error) {
	for {
		l, err := dial(ctx, &c.config, c.handle)
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

// attach makes l the current link, sends all that is waiting, and starts l.
func (c *Client) attach(l *link) {
	defer l.start()
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.out.link = l
	for _, s := range c.subscriptions.list {
		c.subscriptions.ask(l, s)
	}
	l.answered()
	c.calls.resend(l)
}

// leave closes old, which may be nil, once next has taken over its subscriptions. Until
// then both are read.
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
	c.close(old)
}

// follow blocks until l ends and returns the cause, or nil if the gateway asks the client
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

// drop closes l, which may be nil. What was waiting on it goes to the next link.
func (c *Client) drop(l *link, err error) {
	if l == nil {
		return
	}
	c.close(l)
	if isTooLarge(err) {
		c.calls.failLargest(l)
	}
}

func (c *Client) close(l *link) {
	l.close()
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if c.out.link == l {
		c.out.link = nil
	}
	c.subscriptions.drop(l)
}

// finish fails everything that is waiting.
func (c *Client) finish(err error) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.out.end = ErrEnded
	if err != nil {
		c.out.end = fmt.Errorf("%w: %w", ErrEnded, err)
	}
	close(c.out.ended)
	for _, s := range c.subscriptions.list {
		s.finish(c.out.end)
	}
}
