package bench

import (
	"context"
	"fmt"
	"time"
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

func checkBetween[N int | float64](what string, n, least, most N) error {
	if !(n >= least && n <= most) { // not even if it is no number
		return fmt.Errorf("%s: %v is not between %v and %.0f", what, n, least, float64(most))
	}
	return nil
}

func checkDurations(warmUp, duration time.Duration) error {
	if duration <= 0 || warmUp < 0 || warmUp+duration > longestRun {
		return fmt.Errorf("--duration and --warm-up: want more than 0, and at most %v together", longestRun)
	}
	return nil
}
