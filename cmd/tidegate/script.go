package main

import (
	"io"

	"github.com/spf13/cobra"

	"tidegate/broker"
)

func newScriptCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "script",
		Short: "Print the Lua script that publishes to a channel and its history",
		Long: `Print the Lua script with which a backend publishes to a channel and its history.

Any Redis client can run it with EVAL or SCRIPT LOAD. Its keys are the channel's name in
Redis, and that name followed by " meta". Its arguments are the payload, the number of
messages to keep, and how long to keep them in milliseconds (0: no time limit). Use the
history size and ttl of the channel's rule. The result is the message's cursor.`,
		Example: `  name=$(tidegate channel chat:lobby)
  redis-cli EVAL "$(tidegate script)" 2 "$name" "$name meta" '{"text":"hi"}' 100 600000`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := io.WriteString(cmd.OutOrStdout(), broker.AppendScript)
			return err
		},
	}
}
