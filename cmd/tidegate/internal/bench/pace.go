package bench

import (
	"context"
	"time"
)

// epoch is the zero of the times in publications.
var epoch = time.Now()

// keepPace calls do at the given rate per second, with the time at which the call is due. If
// calls are late, it catches up without delay, and still passes the original times. It
// returns nil when ctx ends, or the error of do.
func keepPace(ctx context.Context, rate float64, do func(due time.Duration) error) error {
	begin := time.Since(epoch)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for k := 0; ; k++ {
		due := begin + time.Duration(float64(k)/rate*float64(time.Second))
		if early := due - time.Since(epoch); early > 0 {
			timer.Reset(early)
			select {
			case <-ctx.Done():
				return nil
			case <-timer.C:
			}
		} else if ctx.Err() != nil {
			return nil
		}
		if err := do(due); err != nil {
			return err
		}
	}
}
