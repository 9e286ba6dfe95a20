package doctor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tidegate/cmd/tidegate/internal/config"
)

// Command returns the command doctor.
func Command() *cobra.Command {
	var c Config
	var redis string
	asJSON := false
	cmd := &cobra.Command{
		Use:   "doctor [URL]",
		Short: "Look at a deployment from outside, and say what is wrong and which line to change",
		Long: `Look at a deployment from outside, through its load balancer, and say in words what
is wrong and which line to change. URL is that of the public listener (default
` + config.EnvPrefix + `URL). With an API key it sees what the nodes see; without one, less. It
publishes on a channel of its own, and changes nothing.

It exits with 0 if all is well, 1 if there are findings, 2 if the command line is wrong.`,
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
			return config.CheckEnvironment(os.Environ())
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.Key, c.Redis.URL = config.APIKeyGiven(c.Key), redis
			var clear func()
			c.Progress, clear = progressOn(os.Stderr)
			report := Examine(cmd.Context(), c)
			clear()
			return tell(cmd.OutOrStdout(), report, asJSON)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&c.Key, "key", "", "API key, visible to whoever lists processes: better "+config.EnvPrefix+"API_KEY")
	flags.StringSliceVar(&c.Origins, "origin", nil, "`origin` of pages that are to be let in; may be given more than once")
	flags.DurationVar(&c.Patience, "patience", 65*time.Second, "how long silent connections may take to be cut; 0: they are not looked at")
	flags.StringVar(&redis, "redis", "", "look at this Redis, too: a `URL` as redis.url, of the user that nodes have or of an administrator")
	flags.StringVar(&c.Redis.TLSFiles.CAFile, "redis-ca", "", "whom to trust with rediss, a `FILE` in PEM; empty: the system's roots")
	flags.StringVar(&c.Redis.TLSFiles.CertFile, "redis-cert", "", "certificate to show to Redis, a `FILE` in PEM")
	flags.StringVar(&c.Redis.TLSFiles.KeyFile, "redis-cert-key", "", "its key, a `FILE` in PEM")
	flags.StringVar(&c.Redis.Prefix, "redis-prefix", "", "redis.prefix of the nodes (default \"tidegate:\")")
	flags.BoolVar(&asJSON, "json", false, "print the findings as JSON")
	return cmd
}

// progressOn returns a function that shows the current step on a terminal, and one
// that removes it.
func progressOn(out *os.File) (say func(string), clear func()) {
	if !term.IsTerminal(int(out.Fd())) {
		return nil, func() {}
	}
	return func(said string) { fmt.Fprintf(out, "\r\x1b[K%s", said) }, func() { fmt.Fprint(out, "\r\x1b[K") }
}

// tell prints a report. It returns an error if there are findings.
func tell(out io.Writer, r Report, asJSON bool) error {
	if asJSON {
		if err := json.NewEncoder(out).Encode(r); err != nil {
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
		fmt.Fprintln(out, f.What)
		for _, cure := range f.Cures {
			fmt.Fprintf(out, "    %s: %s\n", cure.Where, cure.Line)
		}
	}
	if len(r.Findings) == 0 {
		fmt.Fprintln(out, "All that was looked at is well.")
	}
	for _, what := range r.Unchecked {
		fmt.Fprintln(out, "Not looked at:", what)
	}
}
