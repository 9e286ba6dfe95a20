package bench

import (
	"errors"
	"time"

	"github.com/spf13/pflag"
)

// traffic is how much a benchmark publishes.
type traffic struct {
	publishers       int     // sessions that publish
	inFlight         int     // publications at a time
	rate             float64 // publications per second; 0 for as many as inFlight allows
	payload          int     // in bytes
	warmUp, duration time.Duration
}

func (t *traffic) addFlags(flags *pflag.FlagSet) {
	flags.IntVar(&t.publishers, "publishers", t.publishers, "sessions that publish")
	flags.Float64Var(&t.rate, "rate", t.rate, "publications per second, in total; 0: as many as possible")
	flags.IntVar(&t.payload, "payload", 128, "`bytes` of JSON in each publication")
	flags.DurationVar(&t.warmUp, "warm-up", time.Second, "time under load before measuring")
	flags.DurationVar(&t.duration, "duration", 10*time.Second, "time to measure, at most 10 minutes")
}

func (t *traffic) check() error {
	return errors.Join(
		checkBetween("--publishers", t.publishers, 1, mostSessions),
		checkBetween("--payload", t.payload, leastPayload, mostPayload),
		checkDurations(t.warmUp, t.duration),
		checkBetween("--rate", t.rate, 0, mostRate),
	)
}
