package main

import (
	"context"
	"fmt"
	"net/url"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	connectsAtOnce = 64
	dialPatience   = 20 * time.Second
)

// connectAll does something for each of n sessions until one fails.
func (s *benchSite) connectAll(ctx context.Context, n, atOnce int, do func(ctx context.Context, i int) error) error {
	var done atomic.Int64
	group, connecting := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i := range n {
		if connecting.Err() != nil {
			break
		}
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(connecting, dialPatience)
			defer cancel()
			if err := do(ctx, i); err != nil {
				return fmt.Errorf("session %d of %d: %w", i+1, n, err)
			}
			if made := done.Add(1); made%100 == 0 {
				s.progress.say("connecting: %d of %d sessions", made, n)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// dial connects a session.
func (s *benchSite) dial(ctx context.Context, to *url.URL, session int) (*benchClient, error) {
	token, err := s.tokenOf(session)
	if err != nil {
		return nil, err
	}
	return dialBench(ctx, to, token, s.inflaters)
}

// subscribe returns when the gateway has confirmed it.
func (c *benchClient) subscribe(channel string) error {
	if err := c.write(subscribeText(channel)); err != nil {
		return err
	}
	_, err := c.reply()
	return err
}

func subscribeText(channel string) []byte {
	return fmt.Appendf(nil, `{"type":"subscribe","id":1,"channel":"%s"}`, channel)
}
