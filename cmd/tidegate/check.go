package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tidegate/cmd/tidegate/internal/config"
)

func newCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Validate a configuration",
		Long: `Validate a configuration: the file, together with the current environment, and every
file that it names. Makes no connections. Prints what serve would do; if there are
errors, prints all of them and exits with 1.`,
		Example: "  tidegate check tidegate.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return check(cmd.OutOrStdout(), config.File(args[0], os.Environ()))
		},
	}
}

func check(out io.Writer, s *config.Source) error {
	c, warnings, err := s.Load()
	for _, odd := range warnings {
		fmt.Fprintln(out, "warning:", odd)
	}
	if problems := (config.Problems)(nil); errors.As(err, &problems) {
		fmt.Fprintln(out, problems)
		return errSaid
	}
	if err != nil {
		return err
	}
	fmt.Fprint(out, "ok\n", summary(c))
	return nil
}

// summary describes the configuration in a few lines.
func summary(c *config.Config) string {
	var s strings.Builder
	line := func(what, is string) { fmt.Fprintf(&s, "  %-9s %s\n", what, is) }
	public := c.Listen
	if c.TLS.CertFile != "" {
		public += " with TLS"
	}
	line("listen", public+", internal "+c.InternalListen)
	line("broker", brokerSummary(c))
	line("channels", rulesSummary(c))
	line("keys", keysSummary(c))
	writeMemory(&s, c.Memory())
	if c.UsesRedis() {
		writeInRedis(&s, c.InRedis())
	}
	return s.String()
}

// writeMemory writes the most memory that the node can use, and how it adds up.
func writeMemory(w io.Writer, memory config.Memory) {
	process, unbounded := memory.Process()
	container, _ := memory.Container()
	fmt.Fprintf(w, "  %-9s %s at most, %s with the kernel's buffers\n", "memory", config.Size(process), config.Size(container))
	if len(unbounded) > 0 {
		fmt.Fprintf(w, "  %-9s and without a bound: %s\n", "", strings.Join(unbounded, ", "))
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, part := range memory {
		size := "?"
		if part.Bytes != config.Unbounded {
			size = config.Size(part.Bytes)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t\n", part.What, part.How, size)
	}
	table.Flush()
}

// writeInRedis writes how much this node's clients can make Redis store, apart from histories.
func writeInRedis(w io.Writer, keys config.Part) {
	size := "without a bound"
	if keys.Bytes != config.Unbounded {
		size = config.Size(keys.Bytes) + " at most (" + keys.How + ")"
	}
	fmt.Fprintf(w, "  %-9s %s of this node's clients: %s\n", "in Redis", keys.What, size)
}

func brokerSummary(c *config.Config) string {
	if c.Redis.URL == "" {
		return "in memory, this node alone"
	}
	return "Redis, names begin with " + c.Redis.Prefix
}

func rulesSummary(c *config.Config) string {
	if c.Development() {
		return "development: everything is allowed to everyone on this machine"
	}
	patterns := make([]string, len(c.Rules))
	for i, rule := range c.Rules {
		patterns[i] = rule.Match
	}
	return strings.Join(patterns, ", ")
}

func keysSummary(c *config.Config) string {
	var kinds []string
	for _, key := range c.Auth.APIKeys {
		kinds = append(kinds, "API key "+key.Name)
	}
	if c.Auth.JWT.Secret != "" {
		kinds = append(kinds, "tokens by secret")
	}
	if c.Auth.JWT.PublicKeyFile != "" {
		kinds = append(kinds, "tokens by public key")
	}
	if c.Auth.JWT.JWKSURL != "" {
		kinds = append(kinds, "tokens by JWKS")
	}
	for _, app := range c.Pusher.Apps {
		kinds = append(kinds, "Pusher app "+app.ID)
	}
	if len(kinds) == 0 {
		return "none"
	}
	return strings.Join(kinds, ", ")
}

// errSaid ends a command that has already printed what went wrong.
var errSaid = errors.New("said")
