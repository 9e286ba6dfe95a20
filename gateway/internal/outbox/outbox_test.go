package outbox

import (
	"fmt"
	"testing"
)

// drained returns an outbox that has a connection and is empty.
func drained() *Outbox {
	o := &Outbox{}
	o.Attach()
	return o
}

// turn fills an outbox and empties it again, as a channel and a flusher do.
func turn(o *Outbox, all *Pool, frames int, frame []byte, buf [][]byte) [][]byte {
	for range frames {
		o.PushMessage(frame, all, Receipt{})
	}
	taking := o.Take(buf[:0], 256<<10, all)
	o.Release()
	return taking.Frames
}

func TestOutbox_AllocatesNothing(t *testing.T) {
	var all Pool
	o, frame, buf := drained(), make([]byte, 128), make([][]byte, 0, 16)
	if n := testing.AllocsPerRun(200, func() { buf = turn(o, &all, 1, frame, buf) }); n > 0 {
		t.Errorf("a frame that waits and is taken allocates %v times", n)
	}
}

// BenchmarkOutbox measures the cost of a delivery between the channel and the writer, for
// growing numbers of waiting frames.
func BenchmarkOutbox(b *testing.B) {
	for _, frames := range []int{1, 2, 8, 64} {
		b.Run(fmt.Sprintf("waiting=%d", frames), func(b *testing.B) {
			var all Pool
			o, frame, buf := drained(), make([]byte, 128), make([][]byte, 0, 64)
			b.ReportAllocs()
			for b.Loop() {
				buf = turn(o, &all, frames, frame, buf)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*frames), "ns/delivery")
		})
	}
}
