package bench

import (
	"context"
	"time"
)

// epoch is what times in publications count from.
var epoch = time.Now()

// keepPace calls do at a rate until ctx ends or do fails, with the time that a
// call was due. A call that is late is made up for, and keeps its time.
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
