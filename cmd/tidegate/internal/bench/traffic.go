package bench

import (
	"context"
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

// patience is how long nothing may arrive, without a rate and at the end.
const patience = 5 * time.Second

// watch waits for the warm-up to end, then measures for the duration. It counts what is
// published, and the units that arrive. It stops early if these have stalled.
func (t *traffic) watch(ctx context.Context, site *site, latency *latencyRecorder, unit string, published, arrived func() uint64) (*Result, error) {
	stalled := patience
	if t.rate > 0 {
		stalled = longestRun
	}
	if _, err := site.wait(ctx, t.warmUp, stalled, "warming up", arrived); err != nil {
		return nil, err
	}
	before, err := site.watch.read(ctx)
	if err != nil {
		return nil, err
	}
	began, publishedBefore, arrivedBefore := time.Now(), published(), arrived()
	latency.on.Store(true)
	stuck, err := site.wait(ctx, t.duration, stalled, "measuring", arrived)
	latency.on.Store(false)
	if err != nil {
		return nil, err
	}
	after, err := site.watch.read(ctx)
	if err != nil {
		return nil, err
	}
	result := &Result{Published: published() - publishedBefore, Memory: after.memory, LatencyMS: latency.summary()}
	result.count(unit, arrived()-arrivedBefore, time.Since(began), after.cpu-before.cpu)
	if stuck {
		result.miss("the run ended early: nothing arrived for %v", patience)
	}
	if reached := float64(result.Published) / result.Seconds; reached < 0.99*t.rate {
		result.miss("the rate was %.1f publications per second instead of %v", reached, t.rate)
	}
	return result, nil
}
