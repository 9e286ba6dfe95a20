package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
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

// pace is the rate at which a command publishes lines. The gateway refuses what comes faster than
// it allows, and what is sent again then is overtaken by later lines.
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

// lines returns the next line each time it is called, with or without its newline, until it
// returns an error: io.EOF at the end.
type lines func(context.Context) ([]byte, error)

// linesOf returns the lines of an input.
func linesOf(input io.Reader) lines {
	buffered := bufio.NewReader(input)
	return func(ctx context.Context) ([]byte, error) {
		line, err := untilDone(ctx, func() ([]byte, error) { return buffered.ReadBytes('\n') })
		if len(line) > 0 {
			return line, nil
		}
		return nil, err
	}
}

// publishLines publishes lines, in order, until their end or until ctx ends. It stops reading
// while too many messages are unconfirmed.
func (p *publishing) publishLines(ctx context.Context, c *client.Client, next lines) error {
	reading, stop := context.WithCancelCause(ctx)
	messages := make(chan underway, mostUnconfirmed)
	go func() {
		defer close(messages)
		stop(p.beginLines(reading, c, next, messages))
	}()
	settling, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() {
		time.AfterFunc(lastWait, func() { cancel(context.Cause(ctx)) })
	})()
	var failed error
	leftOut := 0
	for m := range messages {
		if failed != nil {
			continue // until beginLines ends
		}
		cursor, err := m.publication.Wait(settling)
		for errors.Is(err, client.ErrUncertain) {
			fmt.Fprintf(p.details, "tidegate: published again, so perhaps twice: %.60q\n", m.message.Payload)
			cursor, err = c.Publish(settling, m.message)
		}
		if p.leavesOut(m.message, err) {
			leftOut++
		} else if failed = p.report(cursor, err); failed != nil {
			stop(failed)
		}
	}
	err := cmp.Or(failed, endOfReading(reading))
	if err == nil && leftOut > 0 {
		err = fmt.Errorf("lines that were left out: %d", leftOut)
	}
	return err
}

// leavesOut reports whether a line was refused because it is too long, and tells the user.
func (p *publishing) leavesOut(line client.Message, err error) bool {
	refused := (*client.Error)(nil)
	if !errors.As(err, &refused) || refused.Code != "too_large" {
		return false
	}
	fmt.Fprintf(p.details, "tidegate: left out, %d bytes: %.60q: %s\n", len(line.Payload), line.Payload, refused.Message)
	return true
}

func endOfReading(reading context.Context) error {
	err := context.Cause(reading)
	if errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// beginLines returns the error that ended it: next's, ctx's or that of a publish.
func (p *publishing) beginLines(ctx context.Context, c *client.Client, next lines, messages chan<- underway) error {
	limiter := p.limiter()
	for {
		if err := limiter.Wait(ctx); err != nil {
			return err
		}
		line, err := next(ctx)
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		m := p.messageOf(line)
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
