// Package bench measures a gateway under load, through its public protocol.
package bench

import "github.com/spf13/cobra"

// Command returns the command "tidegate bench".
func Command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure a gateway under load, through its public protocol",
		Long: `Measure a gateway under load, through the protocol that all clients use. The gateway needs
a rule for the channels of the benchmark, and no limits on commands and bytes:

  channels: [{match: "bench:*", subscribe: anyone, publish: anyone}]
  limits: {commands_per_second: 0, bytes_per_second: 0}

Add a history to the rule only if you want to measure it. To measure the gateway's CPU time
and memory, set --pid for a process on this machine, or --metrics for any other.`,
		Args: cobra.NoArgs,
	}
	for _, k := range append(kinds, publishKind) {
		cmd.AddCommand(k.command())
	}
	cmd.AddCommand(newCompareCommand())
	return cmd
}
