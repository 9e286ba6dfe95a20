package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/time/rate"

	"tidegate/gateway/client"
)

const (
	// mostUnconfirmed is the most messages in flight. A burst of that size stays below the
	// default rate limit of a session.
	mostUnconfirmed = 64

	// lastWait is how long to wait for outstanding confirmations at the end.
	lastWait = 5 * time.Second
)

// pace is the rate at which a command publishes.
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

// publishAll publishes the messages that next returns, in order, until next returns io.EOF
// or ctx ends. It stops calling next while too many messages are unconfirmed. It calls
// settled with the result of each message, in order; an error of settled ends publishAll.
func publishAll(ctx context.Context, c *client.Client, p pace, next func(context.Context) (client.Message, error),
	settled func(m client.Message, cursor string, err error) error) error {
	reading, stop := context.WithCancelCause(ctx)
	messages := make(chan underway, mostUnconfirmed)
	go func() {
		defer close(messages)
		stop(beginAll(reading, c, p.limiter(), next, messages))
	}()
	settling, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() {
		time.AfterFunc(lastWait, func() { cancel(context.Cause(ctx)) })
	})()
	var failed error
	for m := range messages {
		if failed != nil {
			continue // until beginAll ends
		}
		cursor, err := m.publication.Wait(settling)
		if failed = settled(m.message, cursor, err); failed != nil {
			stop(failed)
		}
	}
	return cmp.Or(failed, endOfReading(reading))
}

func endOfReading(reading context.Context) error {
	err := context.Cause(reading)
	if errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// beginAll returns the error that ended it: next's, ctx's or that of a publish.
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
