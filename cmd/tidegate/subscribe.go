package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"tidegate/cmd/tidegate/internal/terminal"
	"tidegate/gateway/client"
)

func newSubscribeCommand() *cobra.Command {
	var s subscribing
	cmd := &cobra.Command{
		Use:   "subscribe CHANNEL...",
		Short: "Print the messages of channels",
		Long: `Print each message of the channels on a line of standard output: its payload or, with
--json, all of its fields. On a terminal, control characters are replaced. Joins and leaves,
gaps and the state of the connection go to standard error. Runs until it is interrupted,
for example by Ctrl-C.`,
		Example: `  tidegate subscribe chat:lobby
  tidegate subscribe logs:web logs:db --json
  tidegate subscribe orders --recent 20
  tidegate subscribe orders --cursor k3x9:41`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if s.cursor != "" && len(args) > 1 {
				return errors.New("--cursor belongs to one channel: name only that channel")
			}
			s.out, s.details = cmd.OutOrStdout(), cmd.ErrOrStderr()
			s.plain = terminal.Is(s.out)
			return s.use(cmd.Context(), s.details, func(ctx context.Context, c *client.Client) error {
				return s.run(ctx, c, args)
			})
		},
	}
	s.connection.addFlags(cmd)
	cmd.Flags().BoolVar(&s.json, "json", false, "print messages as JSON objects with all fields")
	cmd.Flags().IntVar(&s.recent, "recent", 0, "start with the last `N` messages of the history")
	cmd.Flags().StringVar(&s.cursor, "cursor", "", "start after the message with this `cursor`")
	cmd.MarkFlagsMutuallyExclusive("recent", "cursor")
	return cmd
}

// subscribing holds the command line's options.
type subscribing struct {
	connection
	json    bool
	recent  int
	cursor  string
	details io.Writer
	plain   bool // replace control characters

	mu  sync.Mutex
	out io.Writer // guarded by mu
}

func (s *subscribing) run(ctx context.Context, c *client.Client, channels []string) error {
	group, groupCtx := errgroup.WithContext(ctx)
	for _, channel := range channels {
		group.Go(func() error { return s.follow(groupCtx, c, channel) })
	}
	err := group.Wait()
	if ctx.Err() != nil {
		return nil // ended by the user
	}
	return err
}

func (s *subscribing) follow(ctx context.Context, c *client.Client, channel string) error {
	subscription, err := c.Subscribe(ctx, channel, client.SubscribeOptions{Cursor: s.cursor, Recent: s.recent})
	if err != nil {
		return err
	}
	hint := ""
	if strings.Contains(channel, "*") {
		hint = ", which is one channel, not a pattern"
	}
	tellTerminal(s.details, "listening to %s%s; Ctrl-C ends it", channel, hint)
	for {
		event, err := subscription.Receive(ctx)
		if err != nil {
			return fmt.Errorf("%q: %w", channel, err)
		}
		if err := s.show(event); err != nil {
			return err
		}
	}
}

func (s *subscribing) show(event client.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e := event.(type) {
	case client.Message:
		line, err := s.line(e)
		if err != nil {
			return err
		}
		if s.plain {
			line = []byte(terminal.PlainLines(string(line)))
		}
		_, err = s.out.Write(line)
		return err
	case client.Gap:
		fmt.Fprintf(s.details, "tidegate: %s: messages may have been missed here\n", e.Channel)
	case client.Join:
		fmt.Fprintf(s.details, "tidegate: %s: %s came\n", e.Channel, cmp.Or(e.User, e.Session))
	case client.Leave:
		fmt.Fprintf(s.details, "tidegate: %s: %s left\n", e.Channel, cmp.Or(e.User, e.Session))
	case client.PresenceChanged:
		fmt.Fprintf(s.details, "tidegate: %s: too many came and left to report them one by one\n", e.Channel)
	}
	return nil
}

// line formats a message as one line; a text or binary payload may contain newlines.
func (s *subscribing) line(m client.Message) ([]byte, error) {
	var line bytes.Buffer
	switch {
	case s.json:
		err := terminal.JSON(&line, wholeOf(m))
		return line.Bytes(), err
	case m.Kind == client.JSON:
		if err := json.Compact(&line, m.Payload); err != nil {
			return nil, err
		}
	default:
		line.Write(m.Payload)
	}
	line.WriteByte('\n')
	return line.Bytes(), nil
}

// wholeMessage has the fields of the native protocol's message.
type wholeMessage struct {
	Channel string            `json:"channel"`
	Data    json.RawMessage   `json:"data,omitempty"`
	Text    *string           `json:"text,omitempty"`
	Binary  *[]byte           `json:"binary,omitempty"`
	Event   string            `json:"event,omitempty"`
	Tags    map[string]string `json:"tags,omitempty"`
	User    string            `json:"user,omitempty"`
	Info    json.RawMessage   `json:"info,omitempty"`
	Cursor  string            `json:"cursor,omitempty"`
	Time    int64             `json:"time,omitempty"` // milliseconds since 1970
}

func wholeOf(m client.Message) wholeMessage {
	whole := wholeMessage{Channel: m.Channel, Event: m.Event, Tags: m.Tags, User: m.User, Info: m.Info, Cursor: m.Cursor}
	if !m.Time.IsZero() {
		whole.Time = m.Time.UnixMilli()
	}
	switch m.Kind {
	case client.JSON:
		whole.Data = m.Payload
	case client.Text:
		text := string(m.Payload)
		whole.Text = &text
	default:
		whole.Binary = &m.Payload
	}
	return whole
}
