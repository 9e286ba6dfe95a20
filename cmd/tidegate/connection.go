package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"tidegate/cmd/tidegate/internal/config"
	"tidegate/cmd/tidegate/internal/terminal"
	"tidegate/gateway/client"
)

// connection holds the flags for connecting to a gateway.
type connection struct {
	url, token string
}

func (c *connection) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.url, "url", "", "`URL` of the gateway (default "+config.EnvPrefix+"URL, or "+config.DefaultURL+")")
	cmd.Flags().StringVar(&c.token, "token", "", "token or API key, visible in the process list: prefer "+config.EnvPrefix+"TOKEN or "+config.EnvPrefix+"API_KEY")
}

// use connects, stays connected while do runs, and then disconnects. If the gateway refuses
// the client, do's context ends. Changes of the connection are written to details.
func (c *connection) use(ctx context.Context, details io.Writer, do func(context.Context, *client.Client) error) error {
	address, err := config.GatewayURL(c.url)
	if err != nil {
		return err
	}
	token := config.Token(c.token)
	gateway := client.New(client.Config{
		URL:   address.String(),
		Token: client.StaticToken(token),
		Link:  (&linkReport{out: details}).report,

		MaxRetryDelay: 3 * time.Second, // short, because somebody is waiting
	})
	var running sync.WaitGroup
	var refused error
	connected, leave := context.WithCancel(context.WithoutCancel(ctx))
	doing, stop := context.WithCancelCause(ctx)
	running.Go(func() {
		refused = gateway.Run(connected)
		stop(refused)
	})
	err = do(doing, gateway)
	leave()
	running.Wait()
	err = cmp.Or(refused, err)
	if said := (*client.Error)(nil); token == "" && errors.As(err, &said) && said.Code == "unauthenticated" {
		return fmt.Errorf("%w: give a token in %[2]sTOKEN, or an API key in %[2]sAPI_KEY", err, config.EnvPrefix)
	}
	return err
}

// tellTerminal tells a user at a terminal what the command is waiting for, so that it does
// not seem to hang.
func tellTerminal(details io.Writer, format string, args ...any) {
	if terminal.Is(details) {
		fmt.Fprintf(details, "tidegate: "+format+"\n", args...)
	}
}

// linkReport writes changes of the connection, without repetitions.
type linkReport struct {
	out  io.Writer
	last string
}

func (r *linkReport) report(err error) {
	switch {
	case err != nil && err.Error() != r.last:
		r.last = err.Error()
		fmt.Fprintf(r.out, "tidegate: %s; trying again\n", terminal.Plain(r.last))
	case err == nil && r.last != "":
		r.last = ""
		fmt.Fprintln(r.out, "tidegate: connected")
	}
}
