package gateway

import (
	"testing"
	"time"

	"tidegate/broker"
)

// BenchmarkTrace_Nobody reports what part of a message's way through the hub is spent on
// finding out that nobody traces. A message that no session listens to is the cheapest
// there is: of all others it is less.
func BenchmarkTrace_Nobody(b *testing.B) {
	g := runForBench(b)
	ch := g.hub.hold("room")
	defer g.hub.release(b.Context(), ch)
	m := broker.Message{Channel: "room", Payload: []byte("hi"), Kind: broker.Text}
	const turns = 1000                         // long enough for a clock
	looking, receiving := time.Hour, time.Hour // the shortest: what else the machine does is not in them
	for b.Loop() {
		began := time.Now()
		for range turns {
			if g.hub.following.begin(ch, &m) != nil {
				b.Fatal("somebody traces")
			}
			g.hub.following.look(ch)
		}
		looked := time.Now()
		for range turns {
			g.hub.Receive(m)
		}
		receiving = min(receiving, time.Since(looked))
		looking = min(looking, looked.Sub(began))
	}
	b.ReportMetric(100*looking.Seconds()/receiving.Seconds(), "%/message")
	b.ReportMetric(float64(looking.Nanoseconds())/turns, "ns/look")
}
