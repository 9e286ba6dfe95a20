package bench

import (
	"time"

	"github.com/spf13/cobra"
)

func newFanOutCommand() *cobra.Command {
	var t target
	load := load{channels: 1, members: 1000, publishers: 1, inFlight: 8}
	cmd := &cobra.Command{
		Use:   "fan-out",
		Short: "Publish on one channel that many sessions listen to",
		Long: `Publish on one channel that many sessions listen to: as fast as all of them get
it, with so many publications in flight, or at a rate.`,
		Example: `  tidegate bench fan-out --pid $(pidof tidegate)
  tidegate bench fan-out --rate 10 --duration 20s --floor --pid $(pidof tidegate)`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return t.run(cmd, &load) },
	}
	t.addFlags(cmd)
	load.addFlags(cmd)
	cmd.Flags().IntVar(&load.members, "subscribers", load.members, "sessions that listen")
	return cmd
}

func newRoomsCommand() *cobra.Command {
	var t target
	load := load{channels: 200, members: 5, publishers: 8, inFlight: 200}
	cmd := &cobra.Command{
		Use:     "rooms",
		Short:   "Publish on many channels with a few sessions each",
		Example: `  tidegate bench rooms --rooms 200 --members 5 --floor --pid $(pidof tidegate)`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return t.run(cmd, &load) },
	}
	t.addFlags(cmd)
	load.addFlags(cmd)
	cmd.Flags().IntVar(&load.channels, "rooms", load.channels, "channels")
	cmd.Flags().IntVar(&load.members, "members", load.members, "sessions on each")
	return cmd
}

func newLatencyCommand() *cobra.Command {
	var t target
	load := load{channels: 1, members: 1000, publishers: 1, rate: 10}
	cmd := &cobra.Command{
		Use:   "latency",
		Short: "Publish at a rate and tell the time to each delivery, through two nodes",
		Long: `Publish at a rate and tell the time to each delivery, counted from when the
publication was due. Give --url twice, to publish at one node and listen at the
other.`,
		Example: `  tidegate bench latency --url ws://127.0.0.1:8080 --url ws://127.0.0.1:8081 \
    --floor --floor-redis redis://127.0.0.1:6379`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return t.run(cmd, &load) },
	}
	t.addFlags(cmd)
	load.addFlags(cmd)
	cmd.Flags().IntVar(&load.members, "subscribers", load.members, "sessions that listen")
	return cmd
}

func (l *load) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	if l.inFlight > 0 {
		flags.IntVar(&l.inFlight, "in-flight", l.inFlight, "publications that not every listener has yet, in all; not with --rate")
	}
	flags.Float64Var(&l.rate, "rate", l.rate, "publications a `second`, in all; 0: as fast as they arrive")
	flags.IntVar(&l.publishers, "publishers", l.publishers, "sessions that publish")
	flags.IntVar(&l.payload, "payload", 128, "`bytes` of JSON in each publication")
	addDurations(cmd, &l.warmUp, &l.duration)
}

func addDurations(cmd *cobra.Command, warmUp, duration *time.Duration) {
	cmd.Flags().DurationVar(warmUp, "warm-up", time.Second, "time under load before measuring")
	cmd.Flags().DurationVar(duration, "duration", 10*time.Second, "time to measure, 10 minutes at most")
}
