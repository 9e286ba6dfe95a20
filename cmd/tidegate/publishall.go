package main

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/time/rate"

	"tidegate/gateway/client"
)

const (
	// mostUnconfirmed bounds what is on its way. A burst of so many stays below
	// the rate that a gateway allows a session by default.
	mostUnconfirmed = 64

	// lastWait is for the confirmations that are outstanding at the end.
	lastWait = 5 * time.Second
)

// pace is how fast a command publishes many messages.
type pace struct{ perSecond float64 }

func (p *pace) addFlags(cmd *cobra.Command) {
	cmd.Flags().Float64Var(&p.perSecond, "rate", 90, "at most `N` lines a second (0: any), less than the gateway's limits.commands_per_second")
}

func (p pace) limiter() *rate.Limiter {
	if p.perSecond <= 0 {
		return rate.NewLimiter(rate.Inf, 1)
	}
	return rate.NewLimiter(rate.Limit(p.perSecond), 1)
}

// underway is a message that is not confirmed yet.
type underway struct {
	message     client.Message
	publication *client.Publication
}

// publishAll publishes what next returns, in order, until next returns io.EOF or
// ctx ends. It reads on only while few messages are unconfirmed, so that next is
// where things wait when the gateway is away. settled is told what became of
// each message, in order; its error ends it all.
func publishAll(ctx context.Context, c *client.Client, p pace, next func(context.Context) (client.Message, error),
	settled func(m client.Message, cursor string, err error) error) error {
	reading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	messages := make(chan underway, mostUnconfirmed)
	// A read of standard input cannot be interrupted, so nobody waits for the
	// end of this.
	go func() {
		defer close(messages)
		stop(beginAll(reading, c, p.limiter(), next, messages))
	}()
	settling, cancel := outlive(ctx, lastWait)
	defer cancel()
	for m := range untilDone(ctx, messages) {
		cursor, err := m.publication.Wait(settling)
		if err := settled(m.message, cursor, err); err != nil {
			return err
		}
	}
	return endOfReading(reading)
}

// untilDone receives until the channel is closed or, after the end of ctx, empty.
func untilDone[T any](ctx context.Context, c <-chan T) iter.Seq[T] {
	return func(yield func(T) bool) {
		for {
			select {
			case v, ok := <-c:
				if !ok || !yield(v) {
					return
				}
				continue
			default:
			}
			select {
			case v, ok := <-c:
				if !ok || !yield(v) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

// outlive returns a context that ends so long after ctx.
func outlive(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel(context.Cause(ctx))
		case <-longer.Done():
		}
	})
	return longer, func() {
		stop()
		cancel(nil)
	}
}

func endOfReading(reading context.Context) error {
	err := context.Cause(reading)
	if errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// beginAll returns why there are no more messages.
func beginAll(ctx context.Context, c *client.Client, limiter *rate.Limiter, next func(context.Context) (client.Message, error),
	messages chan<- underway) error {
	for {
		if err := limiter.Wait(ctx); err != nil {
			return err
		}
		m, err := next(ctx)
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		publication, err := c.Begin(m)
		if err != nil {
			return err
		}
		select {
		case messages <- underway{message: m, publication: publication}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
