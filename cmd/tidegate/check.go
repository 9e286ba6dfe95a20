package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

func newCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Validate a configuration",
		Long: `Validate a configuration: the file, under the environment as it is now, and
every file that it names. Nothing is connected to. Prints what serve would do, or
all that is wrong, and then exits with 1.`,
		Example: "  tidegate check tidegate.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return check(cmd.OutOrStdout(), &source{file: &flagValue{text: args[0], given: true}, environ: os.Environ()})
		},
	}
}

func check(out io.Writer, s *source) error {
	c, err := s.read()
	if err != nil {
		return err
	}
	c.validate()
	for _, odd := range c.warnings.lines() {
		fmt.Fprintln(out, "warning:", odd)
	}
	if err := c.problems.err(); err != nil {
		fmt.Fprintln(out, err)
		return errSaid
	}
	fmt.Fprint(out, "ok\n", c.config.summary())
	return nil
}

// summary says in a few lines what the configuration comes to.
func (c *config) summary() string {
	var s strings.Builder
	line := func(what, is string) { fmt.Fprintf(&s, "  %-9s %s\n", what, is) }
	public := c.Listen
	if c.TLS.CertFile != "" {
		public += " with TLS"
	}
	line("listen", public+", internal "+c.InternalListen)
	line("broker", c.brokerSummary())
	line("channels", c.rulesSummary())
	line("keys", c.keysSummary())
	return s.String()
}

func (c *config) brokerSummary() string {
	if c.Redis.URL == "" {
		return "in memory, this node alone"
	}
	return "Redis, names begin with " + c.Redis.Prefix
}

func (c *config) rulesSummary() string {
	if c.development() {
		return "development: everything is allowed to everyone on this machine"
	}
	patterns := make([]string, len(c.Rules))
	for i, rule := range c.Rules {
		patterns[i] = rule.Match
	}
	return strings.Join(patterns, ", ")
}

func (c *config) keysSummary() string {
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
	if len(kinds) == 0 {
		return "none"
	}
	return strings.Join(kinds, ", ")
}
