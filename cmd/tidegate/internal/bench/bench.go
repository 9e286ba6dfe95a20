// Package bench measures a gateway under load, through its public protocol.
package bench

import "github.com/spf13/cobra"

// Command returns the command "tidegate bench". With --floor, it runs its own executable as
// the floor, a minimal server to compare with.
func Command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure a gateway under load, by its public protocol",
		Long: `Measure a gateway under load, by the protocol that every client speaks. What it
asks of the gateway: a rule for channels that begin with "bench:", without history
unless that is to be measured, and limits.commands_per_second and bytes_per_second: 0.

  channels: [{match: "bench:*", subscribe: anyone, publish: anyone}]
  limits: {commands_per_second: 0, bytes_per_second: 0}

CPU and memory are those of the gateway alone: give --pid of a process on this
machine, or --metrics for one anywhere. With --floor the same load is put first on
a server that does nothing but one write(2) for each delivery, so that what the
gateway costs can be told from what the machine costs.`,
		Args: cobra.NoArgs,
	}
	for _, k := range kinds {
		cmd.AddCommand(k.command())
	}
	cmd.AddCommand(newPublishCommand(), newCompareCommand(), newFloorCommand())
	return cmd
}
