package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"tidegate/gateway/client"
)

func newTailCommand() *cobra.Command {
	var t tailing
	cmd := &cobra.Command{
		Use:   "tail FILE --channel CHANNEL",
		Short: "Publish each line that is appended to a file",
		Long: `Publish each line that is appended to FILE as a text message, until it is interrupted.
Follows the file when it is rotated or truncated. While the gateway is down it waits, then
continues where it was. A line that is not UTF-8 is published as binary. A line that the
gateway rejects, because it is too long, is reported on standard error.`,
		Example: `  tidegate tail /var/log/nginx/access.log --channel logs:web`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			t.file, t.details = args[0], cmd.ErrOrStderr()
			return t.run(cmd.Context())
		},
	}
	t.connection.addFlags(cmd)
	cmd.Flags().StringVar(&t.channel, "channel", "", "`channel` to publish to")
	cmd.Flags().BoolVar(&t.fromStart, "from-start", false, "start with the existing lines of the file")
	t.pace.addFlags(cmd)
	_ = cmd.MarkFlagRequired("channel") // fails only if the flag does not exist
	return cmd
}

// tailing holds the command line's options.
type tailing struct {
	connection
	pace
	file, channel string
	fromStart     bool
	details       io.Writer
}

func (t *tailing) run(ctx context.Context) error {
	lines, err := openFollower(t.file)
	if err != nil {
		return err
	}
	defer lines.close()
	if !t.fromStart {
		if err := lines.skip(); err != nil {
			return err
		}
	}
	if lines.file == nil {
		fmt.Fprintf(t.details, "tidegate: %s is not there yet; waiting for it\n", t.file)
	}
	tellTerminal(t.details, "publishing new lines of %s to %s; Ctrl-C ends it", t.file, t.channel)
	return t.use(ctx, t.details, func(ctx context.Context, c *client.Client) error {
		next := func(ctx context.Context) (client.Message, error) {
			line, err := lines.next(ctx)
			return t.messageOf(line), err
		}
		return publishAll(ctx, c, t.pace, next, func(m client.Message, _ string, err error) error {
			return t.answerFailure(ctx, c, m, err)
		})
	})
}

func (t *tailing) messageOf(line []byte) client.Message {
	kind := client.Text
	if !utf8.Valid(line) {
		kind = client.Binary
	}
	return client.Message{Channel: t.channel, Kind: kind, Payload: line}
}

// answerFailure handles the result of a line. It reports a line that is too long, publishes
// again if the result is uncertain, and returns any other error.
func (t *tailing) answerFailure(ctx context.Context, c *client.Client, line client.Message, err error) error {
	var refused *client.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused) && refused.Code == "too_large":
		fmt.Fprintf(t.details, "tidegate: not published, %d bytes: %.60q: %s\n", len(line.Payload), line.Payload, refused.Message)
		return nil
	case errors.Is(err, client.ErrUncertain):
		fmt.Fprintf(t.details, "tidegate: published again, so perhaps twice: %.60q\n", line.Payload)
		_, err = c.Publish(ctx, line)
		return t.answerFailure(ctx, c, line, err)
	}
	return fmt.Errorf("publish on %q: %w", t.channel, err)
}
