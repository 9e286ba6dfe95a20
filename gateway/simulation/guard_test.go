package simulation_test

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// guard ends the process, with the stacks of all goroutines, if a story does not end: if a
// goroutine waits for a mutex or spins, so that virtual time stands still, or if virtual time
// passes without end. The story cannot fail in the usual way then, because the test would wait
// for its goroutines.
type guard struct {
	seed  uint64
	beats atomic.Int64 // counts seconds of virtual time
}

const (
	standsAtMost = time.Minute     // how long, in real time, virtual time may stand still
	afterwards   = 5 * time.Minute // how long a story may last in addition to its parts
)

// watch returns when ctx ends. It must be called outside the bubble of the story.
func (g *guard) watch(ctx context.Context) {
	if runtime.GOOS == "wasip1" {
		return // there is a single thread: the runtime notices that all goroutines wait, and exact that one spins
	}
	for last, since := int64(0), time.Now(); pause(ctx, time.Second); {
		if beats := g.beats.Load(); beats != last {
			last, since = beats, time.Now()
		}
		if time.Since(since) > standsAtMost {
			g.fail("its time stands still at %v", time.Duration(last)*time.Second)
		}
	}
}

// beat must be called in the bubble of the story. It returns when ctx ends.
func (g *guard) beat(ctx context.Context, last lengths) {
	most := last.faults + calm + last.settling + afterwards
	for pause(ctx, time.Second) {
		if time.Duration(g.beats.Add(1))*time.Second > most {
			g.fail("its time has passed %v", most)
		}
	}
}

func (g *guard) fail(format string, args ...any) {
	debug.SetTraceback("all")
	panic(fmt.Sprintf("the story of seed %d does not end: ", g.seed) + fmt.Sprintf(format, args...))
}
