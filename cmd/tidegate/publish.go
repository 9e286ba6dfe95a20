package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"tidegate/cmd/tidegate/internal/terminal"
	"tidegate/gateway/client"
)

func newPublishCommand() *cobra.Command {
	var p publishing
	cmd := &cobra.Command{
		Use:   "publish CHANNEL [DATA | -]",
		Short: "Publish a message, or one per line of standard input",
		Long: `Publish DATA, or standard input if DATA is - or missing, as one message: as JSON if it
parses, otherwise as text (without the final newline), or as binary if it is not UTF-8.
Prints the message's cursor when the gateway has confirmed it; on a channel without
history there is none.

With --lines, each line of standard input is a message. While the gateway is down, it waits
and continues where it was. A line that is too long for the gateway is reported on standard
error and left out; the exit code is then 1.`,
		Example: `  tidegate publish chat:lobby '{"text":"hi"}'
  tidegate publish chat:lobby hello --event greeting
  seq 1000 | tidegate publish numbers --lines`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			p.message.Channel = args[0]
			p.input, p.out, p.details = cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
			if len(args) == 2 && args[1] != "-" {
				p.input = bytes.NewReader([]byte(args[1]))
			}
			return p.run(cmd.Context())
		},
	}
	p.connection.addFlags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&p.message.Event, "event", "", "event `name` of the message")
	flags.StringVar(&p.message.Key, "key", "", "idempotency `key`: publishes with the same key within 5 minutes have effect once")
	flags.DurationVar(&p.timeout, "timeout", 10*time.Second, "how long to retry; ignored with --lines, which waits for the gateway")
	flags.BoolVar(&p.lines, "lines", false, "publish each line of standard input as a message")
	p.pace.addFlags(cmd)
	cmd.MarkFlagsMutuallyExclusive("lines", "key")
	return cmd
}

// publishing holds the command line's options.
type publishing struct {
	connection
	pace
	message      client.Message // without the payload
	lines        bool
	noJSON       bool // JSON is text, too
	timeout      time.Duration
	input        io.Reader
	out, details io.Writer
}

func (p *publishing) run(ctx context.Context) error {
	if terminal.Is(p.input) {
		tellTerminal(p.details, "reading standard input; Ctrl-D ends it")
	}
	if p.lines {
		return p.use(ctx, p.details, func(ctx context.Context, c *client.Client) error {
			return p.publishLines(ctx, c, linesOf(p.input))
		})
	}
	payload, err := untilDone(ctx, func() ([]byte, error) { return io.ReadAll(p.input) })
	if err != nil {
		return fmt.Errorf("standard input: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, p.timeout, fmt.Errorf("gave up after %v", p.timeout))
	defer cancel()
	return p.use(ctx, p.details, func(ctx context.Context, c *client.Client) error {
		cursor, err := c.Publish(ctx, p.messageOf(payload))
		return p.report(cursor, err)
	})
}

// untilDone returns what read returns, unless ctx ends first. Its goroutine may outlive it,
// because a read of standard input cannot be interrupted.
func untilDone(ctx context.Context, read func() ([]byte, error)) ([]byte, error) {
	done := make(chan struct{})
	var text []byte
	var failed error
	go func() {
		defer close(done)
		text, failed = read()
	}()
	select {
	case <-done:
		return text, failed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (p *publishing) report(cursor string, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("publish on %q: %w", p.message.Channel, err)
	case cursor == "":
		return nil
	}
	_, err = fmt.Fprintln(p.out, cursor)
	return err
}

// messageOf returns a message with the kind that fits the payload.
func (p *publishing) messageOf(payload []byte) client.Message {
	m := p.message
	switch {
	case !p.noJSON && json.Valid(payload):
		m.Kind, m.Payload = client.JSON, payload
	case utf8.Valid(payload):
		m.Kind, m.Payload = client.Text, withoutNewline(payload)
	default:
		m.Kind, m.Payload = client.Binary, payload
	}
	return m
}

func withoutNewline(line []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
}
