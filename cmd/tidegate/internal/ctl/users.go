package ctl

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"tidegate/cmd/tidegate/internal/terminal"
)

func newUsersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "users",
		Short: "List and close a user's sessions, ban, revoke tokens",
		Example: `  tidegate users list alice
  tidegate users disconnect alice
  tidegate users ban mallory --for 24h --reason spam
  tidegate users ban 192.0.2.0/24 --for 1h
  tidegate users revoke alice`,
	}
	cmd.AddCommand(newListCommand(), newDisconnectCommand(), newBanCommand(), newRevokeCommand(), newBansCommand(), newLiftCommand())
	return cmd
}

func newListCommand() *cobra.Command {
	return requesting(&cobra.Command{
		Use:   "list USER",
		Short: "List the sessions of a user, on every node",
		Args:  cobra.ExactArgs(1),
	}, printSessions, func(args []string) request {
		return request{method: http.MethodGet, path: at("users", args[0], "sessions")}
	})
}

type sessions struct {
	Sessions []struct {
		Session, Node, Transport, Protocol string
		Channels                           []string
		Since                              int64
	}
}

func printSessions(out io.Writer, found sessions) {
	if len(found.Sessions) == 0 {
		fmt.Fprintln(out, "The user has no session.")
		return
	}
	table(out, "SESSION NODE TRANSPORT PROTOCOL OPEN CHANNELS", func(row func(...any)) {
		for _, s := range found.Sessions {
			row(s.Session, s.Node, s.Transport, s.Protocol, since(s.Since), s.Channels)
		}
	})
}

func newDisconnectCommand() *cobra.Command {
	print := func(out io.Writer, reached struct{ Sessions int }) {
		fmt.Fprintln(out, oneOrMore(reached.Sessions, "session"), "ended")
	}
	return requesting(&cobra.Command{
		Use:   "disconnect USER",
		Short: "Close the sessions of a user, on every node",
		Long: `Close the sessions of a user, on every node. A client that may connect can reconnect at
once: to keep a user out, use ban.`,
		Args: cobra.ExactArgs(1),
	}, print, func(args []string) request {
		return request{method: http.MethodDelete, path: at("users", args[0], "sessions")}
	})
}

// denialRequest is the body of a request for a ban or a revocation.
type denialRequest struct {
	User    string `json:"user,omitempty"`
	Address string `json:"address,omitempty"`
	Token   string `json:"token,omitempty"`
	For     string `json:"for,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

func (d *denialRequest) addFlags(cmd *cobra.Command, lasts string) {
	cmd.Flags().StringVar(&d.For, "for", "", "how long, such as 90m or 24h (default "+lasts+")")
	cmd.Flags().StringVar(&d.Reason, "reason", "", "reason given to the client")
}

type denial struct {
	ID, User, Address, Token, Reason, By string
	Until                                int64
}

// UnmarshalJSON refuses an answer that is no denial.
func (d *denial) UnmarshalJSON(body []byte) error {
	type fields denial
	if err := json.Unmarshal(body, (*fields)(d)); err != nil {
		return err
	}
	if d.ID == "" {
		return errors.New("it has no id")
	}
	return nil
}

func printDenial(out io.Writer, d denial) {
	kind := "token"
	switch {
	case d.User != "":
		kind = "user"
	case d.Address != "":
		kind = "address"
	}
	fmt.Fprintf(out, "%s is in force until %s, for the %s %s. To lift it: tidegate users lift %[1]s\n", d.ID, clock(d.Until), kind, d.of())
}

// of returns the user, the address or the token.
func (d denial) of() string { return cmp.Or(d.User, d.Address, d.Token) }

func newBanCommand() *cobra.Command {
	asked := denialRequest{}
	cmd := requesting(&cobra.Command{
		Use:   "ban USER | ADDRESS",
		Short: "Ban a user, an address or a network, on every node",
		Long: `Ban a user, an address or a network, on every node, and close the sessions concerned. An
argument that parses as an address or network is one.`,
		Args: cobra.ExactArgs(1),
	}, printDenial, func(args []string) request {
		if isNetwork(args[0]) {
			asked.Address = args[0]
		} else {
			asked.User = args[0]
		}
		return request{method: http.MethodPost, path: "bans", body: asked}
	})
	asked.addFlags(cmd, "24h")
	return cmd
}

// isNetwork reports whether text is an address, or begins as a network does.
func isNetwork(text string) bool {
	address, _, _ := strings.Cut(text, "/")
	_, err := netip.ParseAddr(address)
	return err == nil
}

func newRevokeCommand() *cobra.Command {
	asked := denialRequest{}
	cmd := requesting(&cobra.Command{
		Use:   "revoke USER | --token JTI",
		Short: "Revoke one token by its id, or all tokens of a user issued until now",
		Args:  cobra.MaximumNArgs(1),
		PreRunE: func(_ *cobra.Command, args []string) error {
			if (len(args) == 1) == (asked.Token != "") {
				return errors.New("want either a user or --token")
			}
			return nil
		},
	}, printDenial, func(args []string) request {
		asked.User = append(args, "")[0]
		return request{method: http.MethodPost, path: "revocations", body: asked}
	})
	asked.addFlags(cmd, "720h")
	cmd.Flags().StringVar(&asked.Token, "token", "", "claim `jti` of the token")
	return cmd
}

func newBansCommand() *cobra.Command {
	c := &client{}
	cmd := &cobra.Command{
		Use:   "bans",
		Short: "List the bans and revocations in force",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			both := map[string]json.RawMessage{}
			for _, path := range []string{"bans", "revocations"} {
				body, err := c.ask(cmd.Context(), request{method: http.MethodGet, path: path})
				if err == nil {
					err = decode(body, &both)
				}
				if err != nil {
					return err
				}
			}
			var body bytes.Buffer
			if err := terminal.JSON(&body, both); err != nil {
				return err
			}
			return present(cmd, c, body.Bytes(), printDenials)
		},
	}
	c.addFlags(cmd)
	return cmd
}

type denials struct{ Bans, Revocations []denial }

func printDenials(out io.Writer, found denials) {
	for _, kind := range []struct {
		name string
		list []denial
	}{{"ban", found.Bans}, {"revocation", found.Revocations}} {
		if len(kind.list) == 0 {
			fmt.Fprintf(out, "No %s is in force.\n", kind.name)
			continue
		}
		table(out, strings.ToUpper(kind.name)+" OF UNTIL BY REASON", func(row func(...any)) {
			for _, d := range kind.list {
				row(d.ID, d.of(), clock(d.Until), d.By, d.Reason)
			}
		})
	}
}

func newLiftCommand() *cobra.Command {
	id := ""
	return requesting(&cobra.Command{
		Use:   "lift ID",
		Short: "Remove a ban or a revocation, by the id that bans lists",
		Args:  cobra.ExactArgs(1),
	}, func(out io.Writer, _ struct{}) { fmt.Fprintln(out, id, "is lifted") }, func(args []string) request {
		id = args[0]
		return request{method: http.MethodDelete, path: at("bans", id)}
	})
}
