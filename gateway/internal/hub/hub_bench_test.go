package hub

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/gateway/rules"
)

// One operation is a first join and a last leave of one of many channels, while
// messages arrive for all of them. It must not grow with their number.
func BenchmarkHub_Churn(b *testing.B) {
	for _, channels := range []int{1000, 2000, 4000} {
		b.Run(fmt.Sprintf("channels=%d", channels), func(b *testing.B) {
			h := startHub(b)
			stop := receiveSteadily(h, channels)
			defer stop()
			var turn atomic.Int64
			b.ReportAllocs()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					ch := h.hold(roomName(turn.Add(1), channels))
					j := &Join{ch: ch}
					if h.MakeLive(b.Context(), []*Join{j}); j.Err != nil {
						b.Error(j.Err)
					}
					h.letGo(b.Context(), ch)
				}
			})
		})
	}
}

// BenchmarkHub_Hold reports the heap that a channel takes, its name apart.
func BenchmarkHub_Hold(b *testing.B) {
	const channels = 10_000
	h := startHub(b)
	names := make([]string, channels)
	for i := range names {
		names[i] = roomName(int64(i), channels)
	}
	for b.Loop() {
		before := heapInUse()
		for _, name := range names {
			h.hold(name)
		}
		b.ReportMetric((heapInUse()-before)/channels, "heap-B/channel")
		for _, name := range names {
			h.release(b.Context(), h.find(name))
		}
	}
}

func heapInUse() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// BenchmarkHub_Receive is what a message costs that nobody here listens to any
// more.
func BenchmarkHub_Receive(b *testing.B) {
	h := startHub(b)
	b.ReportAllocs()
	for b.Loop() {
		h.Receive(&broker.Message{Channel: "room:1", Payload: []byte("x")})
	}
}

// BenchmarkTrace_Nobody reports what part of a message's way through the hub is spent on
// finding out that nobody traces. A message that no session listens to is the cheapest
// there is: of all others it is less.
func BenchmarkTrace_Nobody(b *testing.B) {
	h := startHub(b)
	ch := h.hold("room")
	defer h.release(b.Context(), ch)
	m := broker.Message{Channel: "room", Payload: []byte("hi"), Kind: broker.Text}
	const turns = 1000                         // long enough for a clock
	looking, receiving := time.Hour, time.Hour // the shortest: what else the machine does is not in them
	for b.Loop() {
		began := time.Now()
		for range turns {
			if h.following.begin(ch, &m) != nil {
				b.Fatal("somebody traces")
			}
			h.following.look(ch)
		}
		looked := time.Now()
		for range turns {
			h.Receive(&m)
		}
		receiving = min(receiving, time.Since(looked))
		looking = min(looking, looked.Sub(began))
	}
	b.ReportMetric(100*looking.Seconds()/receiving.Seconds(), "%/message")
	b.ReportMetric(float64(looking.Nanoseconds())/turns, "ns/look")
}

func roomName(i int64, of int) string { return fmt.Sprintf("room:%d", i%int64(of)) }

// startHub returns a hub on a broker in memory, which runs until the benchmark ends.
func startHub(b *testing.B) *Hub {
	h := newWorld(b, rules.Rule{}, 0).Hub
	memory := broker.NewMemory()
	h.Broker = memory
	linked := make(chan struct{})
	ctx, cancel := context.WithCancel(h.Life)
	var running sync.WaitGroup
	running.Go(func() {
		if err := memory.Run(ctx, ear{h, linked}); err != nil {
			b.Error(err)
		}
	})
	b.Cleanup(func() { cancel(); running.Wait() })
	<-linked
	return h
}

// ear is told by the broker.
type ear struct {
	*Hub
	linked chan struct{} // closed when the broker can be used
}

func (e ear) Receive(m broker.Message) { e.Hub.Receive(&m) }
func (e ear) Gap([]string, error)      {}
func (e ear) Rest()                    {}
func (e ear) Link(err error) {
	if err == nil {
		close(e.linked)
	}
}

// receiveSteadily lets messages arrive for one channel after the other.
func receiveSteadily(h *Hub, channels int) (stop func()) {
	var over atomic.Bool
	var receiving sync.WaitGroup
	receiving.Go(func() {
		for i := int64(0); !over.Load(); i++ {
			h.Receive(&broker.Message{Channel: roomName(i, channels), Payload: []byte("x")})
		}
	})
	return func() { over.Store(true); receiving.Wait() }
}
