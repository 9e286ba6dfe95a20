package main

import (
	"cmp"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"tidegate/broker"
	"tidegate/cmd/tidegate/internal/config"
	"tidegate/gateway/rules"
)

func newChannelCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "channel NAME",
		Short:   "Print the name of a channel in Redis, to publish to it",
		Example: `  redis-cli PUBLISH "$(tidegate channel chat:lobby)" '{"text":"hi"}'`,
		Args:    cobra.ExactArgs(1),
	}
	source := config.NewSource(cmd.Flags(), os.Environ(), "redis.url", "redis.url_file", "redis.prefix")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name, err := redisName(source, args[0])
		if err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), name)
		return nil
	}
	return cmd
}

// redisName returns the name of a channel in Redis. Without redis.url it is the name in a
// Redis that is not a Cluster.
func redisName(s *config.Source, channel string) (string, error) {
	if err := rules.CheckChannel(channel); err != nil {
		return "", err
	}
	c, err := s.Read("redis.url")
	if err != nil {
		return "", err
	}
	settings := c.Redis.Broker()
	settings.URL = cmp.Or(settings.URL, "redis://127.0.0.1")
	redis, err := broker.NewRedis(settings)
	if err != nil {
		return "", err
	}
	return redis.RedisName(channel), nil
}
