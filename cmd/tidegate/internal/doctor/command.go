package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"tidegate/cmd/tidegate/internal/config"
	"tidegate/cmd/tidegate/internal/terminal"
)

// Command returns the command doctor.
func Command() *cobra.Command {
	var c Config
	var redis string
	asJSON := false
	cmd := &cobra.Command{
		Use:   "doctor [URL]",
		Short: "Test a deployment from outside, and report what is wrong and which line to change",
		Long: `Test a deployment from outside, through its load balancer, and report what is wrong and
which line to change. URL is the public listener's (default ` + config.EnvPrefix + `URL). With an
API key it can ask the nodes what they see, and finds more. It publishes to a channel of
its own and changes nothing.

Exit codes: 0 no findings, 1 findings, 2 usage error.`,
		Example: `  tidegate doctor https://gateway.example.com --origin https://app.example.com
  tidegate doctor --redis redis://admin:password@10.0.0.5 --patience 0s`,
		Args: cobra.MaximumNArgs(1),
		PreRunE: func(_ *cobra.Command, args []string) (err error) {
			c.URL, err = config.APIURL(append(args, "")[0])
			switch {
			case err != nil:
				return err
			case c.Patience < 0:
				return errors.New("--patience is negative")
			}
			for _, origin := range c.Origins {
				if u, err := url.Parse(origin); err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" {
					return fmt.Errorf("--origin %q: want something like https://app.example.com", origin)
				}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.Key, c.Redis.URL = config.APIKeyGiven(c.Key), redis
			c.Progress = terminal.NewProgress(os.Stderr)
			report := Examine(cmd.Context(), c)
			c.Progress.Clear()
			err := tell(cmd.OutOrStdout(), report, asJSON)
			return cmp.Or(err, context.Cause(cmd.Context()))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&c.Key, "key", "", "API key, visible in the process list: prefer "+config.EnvPrefix+"API_KEY")
	flags.StringSliceVar(&c.Origins, "origin", nil, "`origin` whose pages must be allowed; repeatable")
	flags.DurationVar(&c.Patience, "patience", 65*time.Second, "how long to watch for silent connections to be cut; 0: do not test this")
	flags.StringVar(&redis, "redis", "", "also test this Redis: a `URL` like redis.url, with the nodes' user or an administrator")
	flags.StringVar(&c.Redis.TLSFiles.CAFile, "redis-ca", "", "CA certificates to trust with rediss, a `FILE` in PEM; empty: the system's")
	flags.StringVar(&c.Redis.TLSFiles.CertFile, "redis-cert", "", "client certificate for Redis, a `FILE` in PEM")
	flags.StringVar(&c.Redis.TLSFiles.KeyFile, "redis-cert-key", "", "private key of the client certificate, a `FILE` in PEM")
	flags.StringVar(&c.Redis.Prefix, "redis-prefix", "", "redis.prefix of the nodes (default \"tidegate:\")")
	flags.BoolVar(&asJSON, "json", false, "print the findings as JSON")
	return cmd
}

// tell prints a report. It returns an error if there are findings.
func tell(out io.Writer, r Report, asJSON bool) error {
	if asJSON {
		if err := terminal.JSON(out, r); err != nil {
			return err
		}
	} else {
		printReport(out, r)
	}
	switch n := len(r.Findings); n {
	case 0:
		return nil
	case 1:
		return errors.New("1 finding")
	default:
		return fmt.Errorf("%d findings", n)
	}
}

func printReport(out io.Writer, r Report) {
	for _, f := range r.Findings {
		fmt.Fprintln(out, terminal.Plain(f.What))
		for _, cure := range f.Cures {
			fmt.Fprintf(out, "    %s: %s\n", cure.Where, terminal.Plain(cure.Line))
		}
	}
	if len(r.Findings) == 0 && !r.interrupted {
		fmt.Fprintln(out, "No problems found.")
	}
	for _, what := range r.Unchecked {
		fmt.Fprintln(out, "Not tested:", terminal.Plain(what))
	}
}
