package bench

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

func newCompareCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "compare",
		Short: "Put the same load on several servers in turn, and print a table",
		Long: `Put the same load on several servers in turn, and print a table with the median of each
figure and its ratio to that of the first server.

Each --server is ADAPTER=URL,PID,PID. The PIDs are optional: the processes whose CPU time and
memory belong to the server. The adapter is one of ` + strings.Join(adapterNames(), ", ") + `,
or a YAML file that describes what to send and what to look for:

  path: /ws?channel={channel}         # used if the URL has no path
  publish_path: /pub                  # for publishers, if it differs
  subprotocol: name                   # optional
  connect: 'frame with {token}'       # the first frame to send, if there is one
  connected: 'text'                   # contained in the reply, if there is one
  subscribe: 'frame with {channel}'   # not needed if the path subscribes
  subscribed: 'text'                  # contained in the reply
  publish: 'frame with {channel} and {data}, or {string} for the data as a JSON string'
  refused: 'text'                     # contained in an error that is sent instead of a reply
  ping: 'text'                        # a whole frame that the server sends to check the client
  pong: 'text'                        # the reply to it

{size} is the length of {data} in bytes. The built-in adapters say how to configure their
servers.`,
		Args: cobra.NoArgs,
	}
	for _, k := range kinds {
		cmd.AddCommand(k.compareCommand())
	}
	return cmd
}

func (k *kind) compareCommand() *cobra.Command {
	c := comparison{target: target{runs: 3}}
	cmd := &cobra.Command{
		Use:   k.use + " --server ADAPTER=URL[,PID]... --server ...",
		Short: k.short,
		Example: "  tidegate bench compare " + k.use + ` --server tidegate=ws://127.0.0.1:8080,4711 \
    --server centrifuge=ws://127.0.0.1:8000,4712 --server ./mine.yaml=ws://127.0.0.1:9000,4713`,
		Args: cobra.NoArgs,
	}
	b := k.load(cmd.Flags())
	flags := cmd.Flags()
	flags.StringArrayVar(&c.given, "server", nil, "`server` as ADAPTER=URL,PID…; repeatable")
	c.addCommonFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		servers, err := c.servers(cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		return c.report(cmd, b, servers)
	}
	return cmd
}

// comparison runs one benchmark on several servers.
type comparison struct {
	target
	given []string
}

func (c *comparison) servers(details io.Writer) ([]*Measured, error) {
	if len(c.given) == 0 {
		return nil, errors.New("--server: want at least one, such as tidegate=ws://127.0.0.1:8080")
	}
	servers := make([]*Measured, len(c.given))
	for i, given := range c.given {
		name, rest, _ := strings.Cut(given, "=")
		parts := strings.Split(rest, ",")
		a, err := loadAdapter(name)
		if err != nil {
			return nil, err
		}
		t := c.target
		t.urls = parts[:1]
		if t.watch.pids, err = parsePIDs(parts[1:]); err != nil {
			return nil, fmt.Errorf("--server %s: %w", name, err)
		}
		s, err := t.siteOf(a, a.serverURL, details)
		if err != nil {
			return nil, fmt.Errorf("--server %s: %w", name, err)
		}
		servers[i] = &Measured{Name: name + " " + s.urls[0].Host, site: s}
	}
	return servers, nil
}

func parsePIDs(given []string) ([]int, error) {
	pids := make([]int, len(given))
	for i, text := range given {
		var err error
		if pids[i], err = strconv.Atoi(text); err != nil {
			return nil, fmt.Errorf("%q is not a process id", text)
		}
	}
	return pids, nil
}
