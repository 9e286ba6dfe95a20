package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"tidegate/gateway/client"
)

func newTailCommand() *cobra.Command {
	t := tailing{publishing: publishing{noJSON: true, out: io.Discard}}
	cmd := &cobra.Command{
		Use:   "tail FILE --channel CHANNEL",
		Short: "Publish each line that is appended to a file",
		Long: `Publish each line that is appended to FILE as a text message, until it is interrupted.
Follows the file when it is rotated or truncated. While the gateway is down, it waits and
continues where it was. A line that is not UTF-8 is published as binary. A line that is too
long for the gateway is reported on standard error and left out; the exit code is then 1.`,
		Example: `  tidegate tail /var/log/nginx/access.log --channel logs:web`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			t.file, t.details = args[0], cmd.ErrOrStderr()
			return t.run(cmd.Context())
		},
	}
	t.connection.addFlags(cmd)
	cmd.Flags().StringVar(&t.message.Channel, "channel", "", "`channel` to publish to")
	cmd.Flags().BoolVar(&t.fromStart, "from-start", false, "start with the existing lines of the file")
	t.pace.addFlags(cmd)
	_ = cmd.MarkFlagRequired("channel") // fails only if the flag does not exist
	return cmd
}

// tailing holds the command line's options.
type tailing struct {
	publishing
	file      string
	fromStart bool
}

func (t *tailing) run(ctx context.Context) error {
	f, err := openFollower(t.file)
	if err != nil {
		return err
	}
	defer f.close()
	if !t.fromStart {
		if err := f.skip(); err != nil {
			return err
		}
	}
	if f.file == nil {
		fmt.Fprintf(t.details, "tidegate: %s is not there yet; waiting for it\n", t.file)
	}
	tellTerminal(t.details, "publishing new lines of %s to %s; Ctrl-C ends it", t.file, t.message.Channel)
	return t.use(ctx, t.details, func(ctx context.Context, c *client.Client) error {
		return t.publishLines(ctx, c, f.next)
	})
}
