package bench

import (
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// kind is a benchmark that can run on any server with an adapter.
type kind struct {
	use, short string
	long       string // for this gateway's command only
	example    string
	load       func(*pflag.FlagSet) benchmark
}

var kinds = []*kind{
	{
		use: "fan-out", short: "Publish on one channel that many sessions listen to",
		long: `Publish on one channel that many sessions listen to: as fast as all of them get
it, with so many publications in flight, or at a rate.`,
		example: `  tidegate bench fan-out --pid $(pidof tidegate)
  tidegate bench fan-out --rate 10 --duration 20s --floor --pid $(pidof tidegate)`,
		load: func(flags *pflag.FlagSet) benchmark {
			return oneChannel(flags, &load{channels: 1, members: 1000, publishers: 1, inFlight: 8})
		},
	},
	{
		use: "rooms", short: "Publish on many channels with a few sessions each",
		example: `  tidegate bench rooms --rooms 200 --members 5 --floor --pid $(pidof tidegate)`,
		load: func(flags *pflag.FlagSet) benchmark {
			l := &load{channels: 200, members: 5, publishers: 8, inFlight: 200}
			l.addFlags(flags)
			flags.IntVar(&l.channels, "rooms", l.channels, "channels")
			flags.IntVar(&l.members, "members", l.members, "sessions on each")
			return l
		},
	},
	{
		use: "latency", short: "Publish at a rate and tell the time to each delivery",
		long: `Publish at a rate and tell the time to each delivery, counted from when the
publication was due. Give --url twice, to publish at one node and listen at the
other.`,
		example: `  tidegate bench latency --url ws://127.0.0.1:8080 --url ws://127.0.0.1:8081 \
    --floor --floor-redis redis://127.0.0.1:6379`,
		load: func(flags *pflag.FlagSet) benchmark {
			return oneChannel(flags, &load{channels: 1, members: 1000, publishers: 1, rate: 10})
		},
	},
	{
		use: "connect", short: "Connect many sessions at once, and subscribe each",
		long: `Connect many sessions at once: accept, authenticate (with --secret-file each by a
token of its own) and subscribe. With --resume each session comes back, as after the end of
its node: messages were published on its channels, and it has them from the history.`,
		example: `  tidegate bench connect --sessions 5000 --secret-file jwt.secret --pid $(pidof tidegate)
  tidegate bench connect --sessions 1000 --channels 100 --pid $(pidof tidegate)
  tidegate bench connect --sessions 5000 --channels 1 --resume 10 --pid $(pidof tidegate)`,
		load: func(flags *pflag.FlagSet) benchmark {
			b := &connectLoad{}
			b.addFlags(flags, 5000)
			flags.IntVar(&b.missed.messages, "resume", 0, "messages that each session has missed on each of its channels, which keep a history")
			return b
		},
	},
	{
		use: "idle", short: "Measure the memory of a session that has a subscription and nothing to do",
		long: `Connect many sessions, subscribe each, wait, and tell by how much the gateway's
memory has grown. Start the gateway anew for each measurement: what it has had in
use before it keeps for a while, and uses again.`,
		example: `  tidegate bench idle --sessions 10000 --pid $(pidof tidegate)`,
		load: func(flags *pflag.FlagSet) benchmark {
			b := &idleLoad{}
			b.addFlags(flags, 10_000)
			flags.DurationVar(&b.duration, "duration", 5*time.Second, "time to wait, 10 minutes at most")
			return b
		},
	},
}

func oneChannel(flags *pflag.FlagSet, l *load) benchmark {
	l.addFlags(flags)
	flags.IntVar(&l.members, "subscribers", l.members, "sessions that listen")
	return l
}

// command returns the command that runs the benchmark on this gateway.
func (k *kind) command() *cobra.Command {
	var t target
	cmd := &cobra.Command{Use: k.use, Short: k.short, Long: k.long, Example: k.example, Args: cobra.NoArgs}
	t.addFlags(cmd)
	b := k.load(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return t.run(cmd, b) }
	return cmd
}
