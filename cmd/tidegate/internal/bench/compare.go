package bench

import (
	"context"
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
		Long: `Put the same load on several servers in turn, and print a table: the median of each
figure, and beside it how many times the first server's it is.

Each --server is an adapter, the server's URL, and maybe processes whose CPU and memory
are its: ADAPTER=URL,PID,PID. An adapter is one of ` + strings.Join(adapterNames(), ", ") + `,
or a YAML file that says what to send and what to look for:

  path: /ws?channel={channel}         where the URL has none
  publish_path: /pub                  for those who publish, if it is another
  subprotocol: name                   if there is one
  connect: 'frame with {token}'       if something is to be said first
  connected: 'text'                   is in the answer, if there is one
  subscribe: 'frame with {channel}'   not where the path subscribes
  subscribed: 'text'                  is in the answer
  publish: 'frame with {channel} and {data}, or {string}: the same as a JSON string'
  refused: 'text'                     is in what the server says in place of an answer
  ping: 'text'                        what the server says to see who is alive
  pong: 'text'                        the answer

{size} is the length of {data} in bytes. What each server of ours needs to be set up with
stands in its adapter.`,
		Args: cobra.NoArgs,
	}
	for _, k := range kinds {
		cmd.AddCommand(k.compareCommand())
	}
	return cmd
}

func (k *kind) compareCommand() *cobra.Command {
	c := comparison{runs: 3}
	cmd := &cobra.Command{
		Use:   k.use + " --server ADAPTER=URL[,PID]... --server ...",
		Short: k.short,
		Example: "  tidegate bench compare " + k.use + ` --server tidegate=ws://127.0.0.1:8080,4711 \
    --server centrifuge=ws://127.0.0.1:8000,4712 --server ./mine.yaml=ws://127.0.0.1:9000,4713`,
		Args: cobra.NoArgs,
	}
	b := k.load(cmd.Flags())
	flags := cmd.Flags()
	flags.StringArrayVar(&c.given, "server", nil, "`server`: ADAPTER=URL,PID…; repeat for more")
	flags.IntVar(&c.runs, "runs", c.runs, "measurements of each server, in turn")
	c.addTokenFlags(cmd)
	flags.BoolVar(&c.yes, "yes", false, "put load on servers that are not on this machine")
	flags.BoolVar(&c.json, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return c.run(cmd, b) }
	return cmd
}

// comparison runs one benchmark on several servers.
type comparison struct {
	target
	given []string
	runs  int
}

func (c *comparison) run(cmd *cobra.Command, b benchmark) error {
	servers, err := c.servers(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	if err := errors.Join(b.check(), checkBetween("--runs", c.runs, 1, 100), checkDescriptors(b.sessions())); err != nil {
		return err
	}
	for range c.runs {
		for _, s := range servers {
			if err := s.measure(cmd.Context(), b); err != nil {
				return fmt.Errorf("%s: %w", s.Name, err)
			}
		}
	}
	return printComparison(cmd.OutOrStdout(), b.title(), servers, c.json)
}

func (s *compared) measure(ctx context.Context, b benchmark) error {
	result, err := b.measure(ctx, s.site)
	s.site.progress.clear()
	s.Runs = append(s.Runs, result)
	return err
}

func (c *comparison) servers(details io.Writer) ([]*compared, error) {
	if len(c.given) == 0 {
		return nil, errors.New("--server: want at least one, such as tidegate=ws://127.0.0.1:8080")
	}
	servers := make([]*compared, len(c.given))
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
		servers[i] = &compared{Name: name + " " + s.urls[0].Host, site: s}
	}
	return servers, nil
}

func parsePIDs(given []string) ([]int, error) {
	pids := make([]int, len(given))
	for i, text := range given {
		var err error
		if pids[i], err = strconv.Atoi(text); err != nil {
			return nil, fmt.Errorf("%q is no process id", text)
		}
	}
	return pids, nil
}
