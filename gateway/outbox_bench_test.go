package gateway

import (
	"fmt"
	"testing"
	"time"
)

// drained returns an outbox that has a connection and nothing to write.
func drained() *outbox {
	o := &outbox{}
	o.attach()
	return o
}

// turn fills an outbox and empties it, as a channel and a flusher do.
func turn(o *outbox, all *outboxes, frames int, frame []byte, buf [][]byte) [][]byte {
	for range frames {
		o.pushMessage(frame, all, time.Time{})
	}
	taking := o.take(buf[:0], writing, flushBytes, all)
	o.release()
	return taking.frames
}

func TestOutbox_AllocatesNothing(t *testing.T) {
	var all outboxes
	o, frame, buf := drained(), make([]byte, 128), make([][]byte, 0, 16)
	if n := testing.AllocsPerRun(200, func() { buf = turn(o, &all, 1, frame, buf) }); n > 0 {
		t.Errorf("a frame that waits and is taken allocates %v times", n)
	}
}

// BenchmarkOutbox is the cost of a delivery between its channel and the writer,
// with more and more of them waiting.
func BenchmarkOutbox(b *testing.B) {
	for _, frames := range []int{1, 2, 8, 64} {
		b.Run(fmt.Sprintf("waiting=%d", frames), func(b *testing.B) {
			var all outboxes
			o, frame, buf := drained(), make([]byte, 128), make([][]byte, 0, 64)
			b.ReportAllocs()
			for b.Loop() {
				buf = turn(o, &all, frames, frame, buf)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*frames), "ns/delivery")
		})
	}
}
