package main

import (
	"io"

	"github.com/spf13/cobra"

	"tidegate/broker"
)

func newScriptCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "script",
		Short: "Print the Lua script with which a backend publishes into a channel's history",
		Long: `Print the Lua script with which a backend publishes into a channel's history.

Any Redis client can run it, by EVAL or SCRIPT LOAD. Its keys are the channel's
name in Redis, and the same with " meta" behind it; its arguments are the payload,
how many messages are kept, and for how many milliseconds (0: as long as there is
room). Give the size and the time of the channel's rule. The answer is the
message's cursor.`,
		Example: `  name=$(tidegate channel chat:lobby)
  redis-cli EVAL "$(tidegate script)" 2 "$name" "$name meta" '{"text":"hi"}' 100 600000`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := io.WriteString(cmd.OutOrStdout(), broker.AppendScript)
			return err
		},
	}
}
