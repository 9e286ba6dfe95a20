package outbox

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestLine_WakesAllFlushersForACrowdAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var busy atomic.Int32
		hold := make(chan struct{})
		line := NewLine(func(_ *Outbox, buf [][]byte) [][]byte {
			busy.Add(1)
			<-hold
			busy.Add(-1)
			return buf
		})
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { line.Run(ctx, 2) })
		defer running.Wait()
		defer stop()
		defer close(hold)

		queue := func(boxes int, want int32) {
			t.Helper()
			synctest.Wait()
			for range boxes {
				line.Queue(&Outbox{})
			}
			synctest.Wait()
			if n := busy.Load(); n != want {
				t.Errorf("%d flushers are busy, not %d", n, want)
			}
		}
		queue(1, 1)     // the flusher that takes it is busy
		queue(crowd, 1) // they wait behind it, for the first flusher
		queue(1, 2)
		for range crowd + 2 {
			hold <- struct{}{}
		}
		queue(0, 0)
		queue(crowd, 1) // the crowd is over
	})
}
