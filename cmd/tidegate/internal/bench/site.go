package bench

import (
	"context"
	"fmt"
	"net/url"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"tidegate/cmd/tidegate/internal/terminal"
)

// site is the target of a benchmark: one server, or several of one cluster.
type site struct {
	adapter   *adapter
	urls      []*url.URL
	tokenOf   func(session int) (string, error)
	watch     meter
	progress  *terminal.Progress
	inflaters *inflaters // nil without compression
	run       string     // part of the channel names, so that runs do not share channels
}

func (s *site) channel(i int) string { return fmt.Sprintf("%s%s:%d", channelPrefix, s.run, i) }

const (
	connectsAtOnce = 64
	dialPatience   = 20 * time.Second
)

// connectAll calls do for each of n sessions, up to atOnce at a time, and each time with a
// context that ends after dialPatience. It stops at the first error and returns it.
func (s *site) connectAll(ctx context.Context, n, atOnce int, do func(ctx context.Context, i int) error) error {
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
				s.progress.Say("connecting: %d of %d sessions", made, n)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// open connects a session with its token. If publishes is true, the session is to publish on
// the channel, and possibly on others; else it is to subscribe to it.
func (s *site) open(ctx context.Context, session int, publishes bool, channel string) (*Client, error) {
	token, err := s.tokenOf(session)
	if err != nil {
		return nil, err
	}
	return s.dial(ctx, publishes, channel, token)
}

func (s *site) dial(ctx context.Context, publishes bool, channel, token string) (*Client, error) {
	base := s.urls[len(s.urls)-1]
	if publishes {
		base = s.urls[0]
	}
	target, err := s.adapter.place(base, publishes, channel, token)
	if err != nil {
		return nil, err
	}
	return dial(ctx, s.adapter, target, token, s.inflaters)
}

// wait waits for the given time and shows how fast count grows. It returns early, with stuck
// true, if count does not grow for longer than patience.
func (s *site) wait(ctx context.Context, length, patience time.Duration, what string, count func() uint64) (stuck bool, err error) {
	over := time.After(length)
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	at, before := time.Now(), count()
	for grown := at; ; {
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-over:
			return false, nil
		case now := <-tick.C:
			n := count()
			s.progress.Say("%s: %s per second", what, figure(float64(n-before)/now.Sub(at).Seconds(), 0))
			if n != before {
				grown = now
			}
			at, before = now, n
			if now.Sub(grown) > patience {
				return true, nil
			}
		}
	}
}
