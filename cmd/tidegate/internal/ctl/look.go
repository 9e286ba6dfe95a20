package ctl

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"
)

// Commands returns the commands of this package.
func Commands() []*cobra.Command {
	return []*cobra.Command{
		newNodesCommand(), newTopCommand(), newChannelsCommand(), newPresenceCommand(), newHistoryCommand(), newUsersCommand(),
		newExplainCommand(), newTraceCommand(),
	}
}

func newNodesCommand() *cobra.Command {
	return requesting(&cobra.Command{
		Use:     "nodes",
		Short:   "List the live nodes",
		Example: "  tidegate nodes\n  tidegate nodes --json --url http://10.0.0.11:9080",
		Args:    cobra.NoArgs,
	}, printNodes, func([]string) request { return request{method: http.MethodGet, path: "nodes"} })
}

type nodes struct {
	Nodes []struct {
		Node, Host, Version string
		Sessions            int
		Since               int64
	}
}

func printNodes(out io.Writer, found nodes) {
	table(out, "NODE HOST VERSION SESSIONS UP", func(row func(...any)) {
		for _, n := range found.Nodes {
			row(n.Node, cmp.Or(n.Host, "-"), n.Version, n.Sessions, since(n.Since))
		}
	})
}

func newChannelsCommand() *cobra.Command {
	return requesting(&cobra.Command{
		Use:     "channels [PATTERN]",
		Short:   "List the channels with subscribers, in the whole cluster",
		Example: "  tidegate channels\n  tidegate channels 'chat:*'",
		Args:    cobra.MaximumNArgs(1),
	}, printChannels, func(args []string) request {
		return request{method: http.MethodGet, path: "channels", query: url.Values{"match": append(args, "*")[:1]}}
	})
}

type channels struct {
	Channels []struct {
		Channel         string
		Sessions, Users int
	}
}

func printChannels(out io.Writer, found channels) {
	if len(found.Channels) == 0 {
		fmt.Fprintln(out, "No such channel has subscribers.")
		return
	}
	table(out, "CHANNEL SESSIONS USERS", func(row func(...any)) {
		for _, ch := range found.Channels {
			row(ch.Channel, ch.Sessions, ch.Users)
		}
	})
}

func newPresenceCommand() *cobra.Command {
	return requesting(&cobra.Command{
		Use:     "presence CHANNEL",
		Short:   "List the members of a channel",
		Example: "  tidegate presence chat:lobby",
		Args:    cobra.ExactArgs(1),
	}, printMembers, func(args []string) request {
		return request{method: http.MethodGet, path: at("channels", args[0], "presence")}
	})
}

type members struct {
	Members []struct {
		User, Session string
		Sessions      int
		Info          json.RawMessage
	}
}

func printMembers(out io.Writer, found members) {
	if len(found.Members) == 0 {
		fmt.Fprintln(out, "The channel has no members.")
		return
	}
	table(out, "USER SESSIONS INFO", func(row func(...any)) {
		for _, m := range found.Members {
			row(cmp.Or(m.User, "-")+sessionSuffix(m.Session), m.Sessions, string(m.Info))
		}
	})
}

func sessionSuffix(session string) string {
	if session == "" {
		return ""
	}
	return " (" + session + ")"
}

func newHistoryCommand() *cobra.Command {
	limit, cursor := 0, ""
	cmd := requesting(&cobra.Command{
		Use:     "history CHANNEL",
		Short:   "Print the history of a channel",
		Long:    "Print the newest messages of a channel, or those after a cursor, the oldest first.",
		Example: "  tidegate history chat:lobby --limit 20\n  tidegate history chat:lobby --cursor k3x9:41",
		Args:    cobra.ExactArgs(1),
	}, printHistory, func(args []string) request {
		query := url.Values{}
		if limit != 0 {
			query.Set("limit", strconv.Itoa(limit))
		}
		if cursor != "" {
			query.Set("cursor", cursor)
		}
		return request{method: http.MethodGet, path: at("channels", args[0], "messages"), query: query}
	})
	cmd.Flags().IntVar(&limit, "limit", 0, "maximum number of messages; 0: as many as fit in one response")
	cmd.Flags().StringVar(&cursor, "cursor", "", "start after the message with this `cursor`")
	return cmd
}

type history struct {
	Messages []struct {
		Cursor, User, Event string
		Time                int64
		Data                json.RawMessage
		Text                *string
		Binary              *[]byte
	}
	Recovered *bool
}

func printHistory(out io.Writer, found history) {
	if len(found.Messages) == 0 {
		fmt.Fprintln(out, "There are no messages.")
	} else {
		printMessages(out, found)
	}
	if found.Recovered != nil && !*found.Recovered {
		fmt.Fprintln(out, "Messages after that cursor are gone: the history begins later.")
	}
}

func printMessages(out io.Writer, found history) {
	table(out, "CURSOR TIME USER EVENT PAYLOAD", func(row func(...any)) {
		for _, m := range found.Messages {
			payload := string(m.Data)
			switch {
			case m.Text != nil:
				payload = strconv.Quote(*m.Text)
			case m.Binary != nil:
				payload = fmt.Sprintf("%d bytes", len(*m.Binary))
			}
			row(m.Cursor, timeOf(m.Time), cmp.Or(m.User, "-"), cmp.Or(m.Event, "-"), payload)
		}
	})
}

func timeOf(milliseconds int64) string {
	if milliseconds == 0 {
		return "-"
	}
	return clock(milliseconds)
}
