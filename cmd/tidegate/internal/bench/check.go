package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/pflag"
)

// benchmark is one kind of measurement. Its methods are called in this order.
type benchmark interface {
	check() error
	sessions() int
	title() string
	measure(context.Context, *site) (*Result, error)
}

const (
	mostSessions = 20_000
	mostPayload  = 60_000
	mostRate     = 1e6
	mostInFlight = 100_000
	longestRun   = 10 * time.Minute
)

func checkBetween(what string, n, least, most int) error {
	if n < least || n > most {
		return fmt.Errorf("%s: %d is not between %d and %d", what, n, least, most)
	}
	return nil
}

func checkRate(rate float64) error {
	if !(rate >= 0 && rate <= mostRate) {
		return fmt.Errorf("--rate: %v is not between 0 and %d", rate, int(mostRate))
	}
	return nil
}

func checkDurations(warmUp, duration time.Duration) error {
	if duration <= 0 || warmUp < 0 || warmUp+duration > longestRun {
		return fmt.Errorf("--duration and --warm-up: want more than 0, and at most %v together", longestRun)
	}
	return nil
}

func addDurations(flags *pflag.FlagSet, warmUp, duration *time.Duration) {
	flags.DurationVar(warmUp, "warm-up", time.Second, "time under load before measuring")
	flags.DurationVar(duration, "duration", 10*time.Second, "time to measure, at most 10 minutes")
}
