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
		use: "fan-out", short: "Publish on one channel with many subscribers",
		long: `Publish on one channel with many subscribers, either with a fixed number of publications
in flight (as fast as all subscribers receive them) or at a fixed rate. At a rate, latencies
count from the time when a publication was due. With two --url, it publishes at the first
node and listens at the second.`,
		example: `  tidegate bench fan-out --pid $(pidof tidegate)
  tidegate bench fan-out --rate 10 --duration 20s --pid $(pidof tidegate)
  tidegate bench fan-out --rate 10 --url ws://127.0.0.1:8080 --url ws://127.0.0.1:8081`,
		load: func(flags *pflag.FlagSet) benchmark {
			l := &load{channels: 1, members: 1000, traffic: traffic{publishers: 1, inFlight: 8}}
			l.addFlags(flags)
			flags.IntVar(&l.members, "subscribers", l.members, "number of subscribers")
			return l
		},
	},
	{
		use: "rooms", short: "Publish on many channels with a few subscribers each",
		example: `  tidegate bench rooms --rooms 200 --members 5 --pid $(pidof tidegate)`,
		load: func(flags *pflag.FlagSet) benchmark {
			l := &load{channels: 200, members: 5, traffic: traffic{publishers: 8, inFlight: 200}}
			l.addFlags(flags)
			flags.IntVar(&l.channels, "rooms", l.channels, "number of channels")
			flags.IntVar(&l.members, "members", l.members, "subscribers of each channel")
			return l
		},
	},
	{
		use: "connect", short: "Connect and subscribe many sessions at the same time",
		long: `Connect and subscribe many sessions at the same time. With --secret-file, each session
authenticates with its own token. With --resume, each session comes back, as after its node
has stopped: messages were published on its channels, and it receives them from the history.`,
		example: `  tidegate bench connect --sessions 5000 --secret-file jwt.secret --pid $(pidof tidegate)
  tidegate bench connect --sessions 1000 --channels 100 --pid $(pidof tidegate)
  tidegate bench connect --sessions 5000 --channels 1 --resume 10 --pid $(pidof tidegate)`,
		load: func(flags *pflag.FlagSet) benchmark {
			b := &connectLoad{}
			b.addFlags(flags, 5000)
			flags.IntVar(&b.missed.messages, "resume", 0, "messages that each session has missed on each of its channels; they need a history")
			return b
		},
	},
	{
		use: "idle", short: "Measure the memory of idle sessions with one subscription",
		long: `Connect and subscribe many sessions, wait, and report by how much the gateway's memory has
grown. Restart the gateway before each measurement: it keeps memory that it has used before,
and uses it again.`,
		example: `  tidegate bench idle --sessions 10000 --pid $(pidof tidegate)`,
		load: func(flags *pflag.FlagSet) benchmark {
			b := &idleLoad{}
			b.addFlags(flags, 10_000)
			flags.DurationVar(&b.duration, "duration", 5*time.Second, "time to wait, at most 10 minutes")
			return b
		},
	},
}

// command returns the command that runs the benchmark on this gateway.
func (k *kind) command() *cobra.Command {
	t := target{runs: 1}
	cmd := &cobra.Command{Use: k.use, Short: k.short, Long: k.long, Example: k.example, Args: cobra.NoArgs}
	t.addFlags(cmd)
	b := k.load(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return t.run(cmd, b) }
	return cmd
}
