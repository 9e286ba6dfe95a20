package ctl

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/spf13/cobra"

	"tidegate/cmd/tidegate/internal/terminal"
)

// actor identifies the client that a request is about.
type actor struct {
	User  string `json:"user,omitempty"`
	Token string `json:"token,omitempty"`
}

func newExplainCommand() *cobra.Command {
	var asked struct {
		Channel string `json:"channel"`
		actor
	}
	cmd := requesting(&cobra.Command{
		Use:   "explain --channel CHANNEL [--user USER]",
		Short: "Explain what a client may do on a channel, and which rule and claim decide",
		Long: `Explain what a client may do on a channel, and which rule and claim decide. The client is
a user without a token, the owner of a token or API key or, if none is given, an anonymous
client. This changes nothing and needs no session.`,
		Example: `  tidegate explain --user alice --channel chat:lobby
  tidegate explain --channel room:7 --user-token "$(tidegate token --user alice --subscribe 'room:*')"`,
		Args: cobra.NoArgs,
	}, printExplanation, func([]string) request {
		return request{method: http.MethodPost, path: "explain", body: asked}
	})
	cmd.Flags().StringVar(&asked.Channel, "channel", "", "`channel` to explain")
	cmd.Flags().StringVar(&asked.User, "user", "", "`user` without a token")
	cmd.Flags().StringVar(&asked.Token, "user-token", "", "the client's `token`, or an API key")
	_ = cmd.MarkFlagRequired("channel") // fails only if the flag does not exist
	cmd.MarkFlagsMutuallyExclusive("user", "user-token")
	return cmd
}

type ruling struct {
	Allowed   bool
	Code, Why string
}

func (r ruling) String() string {
	if r.Allowed {
		return "yes"
	}
	return "no (" + r.Code + ")"
}

type explanation struct {
	Channel, Who, Banned string
	Rule                 *struct {
		Index int
		Match string
	}
	Subscribe, Publish, Presence, History ruling
}

func printExplanation(out io.Writer, e explanation) {
	rule := "no rule matches"
	if e.Rule != nil {
		rule = fmt.Sprintf("channels[%d], match %q", e.Rule.Index, e.Rule.Match)
	}
	fmt.Fprintf(out, "%s on %s: %s\n", e.Who, e.Channel, rule)
	if e.Banned != "" {
		fmt.Fprintf(out, "REFUSED EVERYWHERE: %s\n", terminal.Plain(e.Banned))
	}
	table(out, "ACTION ALLOWED REASON", func(row func(...any)) {
		row("subscribe", e.Subscribe, e.Subscribe.Why)
		row("publish", e.Publish, e.Publish.Why)
		row("presence", e.Presence, e.Presence.Why)
		row("history", e.History, e.History.Why)
	})
}

func newTraceCommand() *cobra.Command {
	asked, channel := traceRequest{}, ""
	print := func(out io.Writer, t trace) {
		printTrace(out, t)
		printAudience(out, t, channel, asked.Recipient)
	}
	cmd := requesting(&cobra.Command{
		Use:   "trace CHANNEL [TEXT]",
		Short: "Publish a message and report what happened to it on every node",
		Long: `Publish a message and report what happened to it. All subscribers receive it like any
other. The report says which node accepted it, whether the broker confirmed it, and for
each node, for how many sessions it was written, is queued, was replaced by a newer one,
or was left out.`,
		Example: `  tidegate trace chat:lobby
  tidegate trace chat:lobby hello --recipient alice
  tidegate trace chat:lobby --as bob`,
		Args: cobra.RangeArgs(1, 2),
	}, print, func(args []string) request {
		channel, asked.Text = args[0], append(args, "This message is traced.")[1]
		return request{method: http.MethodPost, path: at("channels", channel, "traces"), body: asked}
	})
	cmd.Flags().StringVar(&asked.Recipient, "recipient", "", "`user` whose sessions are listed individually")
	cmd.Flags().StringVar(&asked.Wait, "wait", "", "how long to wait for the writes to sessions, at most 10s (default 2s)")
	cmd.Flags().StringVar(&asked.Event, "event", "", "event `name` of the message")
	cmd.Flags().StringVar(&asked.Publisher.User, "as", "", "publish as this `user`, subject to the rules")
	cmd.Flags().StringVar(&asked.Publisher.Token, "as-token", "", "publish as the owner of this `token`")
	cmd.MarkFlagsMutuallyExclusive("as", "as-token")
	return cmd
}

type traceRequest struct {
	Text      string `json:"text"`
	Event     string `json:"event,omitempty"`
	Publisher actor  `json:"publisher,omitzero"`
	Recipient string `json:"recipient,omitempty"`
	Wait      string `json:"wait,omitempty"`
}

type trace struct {
	Node, Cursor string
	Publish      ruling
	Error        *struct{ Code, Message string }
	Took         float64
	Nodes        []nodeTrace
}

type nodeTrace struct {
	Node                                                                  string
	Listening, Heard, Written, Waiting, Conflated, Skipped, Unsaid, Ended int
	Sessions                                                              []struct{ Session, User, Protocol, Fate, Why string }
}

func printTrace(out io.Writer, t trace) {
	fmt.Fprintf(out, "received by %s: %s\n", t.Node, t.Publish.Why)
	if t.Error != nil {
		fmt.Fprintf(out, "refused: %s (%s)\n", terminal.Plain(t.Error.Message), t.Error.Code)
		return
	}
	fmt.Fprintf(out, "confirmed by the broker in %.1f ms, cursor %s\n", t.Took, cmp.Or(t.Cursor, "none: the channel keeps no history"))
}

// printAudience prints what has become of the message on each node and, if there is a
// recipient, for each of the recipient's sessions.
func printAudience(out io.Writer, t trace, channel, recipient string) {
	if len(t.Nodes) == 0 {
		return
	}
	fmt.Fprintln(out)
	if !slices.ContainsFunc(t.Nodes, func(n nodeTrace) bool { return n.Listening > 0 }) {
		fmt.Fprintf(out, "%s has no subscribers.\n", channel)
	} else {
		printFates(out, t.Nodes)
	}
	if recipient != "" {
		printRecipient(out, t.Nodes, channel, recipient)
	}
}

func printFates(out io.Writer, nodes []nodeTrace) {
	table(out, "NODE LISTENING HEARD WRITTEN WAITING CONFLATED SKIPPED UNSAID ENDED", func(row func(...any)) {
		for _, n := range nodes {
			row(n.Node, n.Listening, n.Heard, n.Written, n.Waiting, n.Conflated, n.Skipped, n.Unsaid, n.Ended)
		}
	})
}

func printRecipient(out io.Writer, nodes []nodeTrace, channel, recipient string) {
	fmt.Fprintln(out)
	if !slices.ContainsFunc(nodes, func(n nodeTrace) bool { return len(n.Sessions) > 0 }) {
		fmt.Fprintf(out, "%[1]s has no session on %[2]s: tidegate users list %[1]s, tidegate explain --user %[1]s --channel %[2]s\n", recipient, channel)
		return
	}
	table(out, "SESSION USER NODE PROTOCOL FATE", func(row func(...any)) {
		for _, n := range nodes {
			for _, s := range n.Sessions {
				row(s.Session, cmp.Or(s.User, "-"), n.Node, s.Protocol, s.Fate+because(s.Why))
			}
		}
	})
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}
