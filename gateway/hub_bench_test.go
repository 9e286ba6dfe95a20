package gateway

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
			g := runForBench(b)
			stop := receiveSteadily(g.hub, channels)
			defer stop()
			var turn atomic.Int64
			b.ReportAllocs()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					ch := g.hub.hold(roomName(turn.Add(1), channels))
					a := &arrival{ch: ch}
					if g.hub.subscribeLive(b.Context(), []*arrival{a}); a.err != nil {
						b.Error(a.err)
					}
					g.hub.letGo(b.Context(), ch)
				}
			})
		})
	}
}

// BenchmarkHub_Hold reports the heap that a channel takes, its name apart.
func BenchmarkHub_Hold(b *testing.B) {
	const channels = 10_000
	g := runForBench(b)
	names := make([]string, channels)
	for i := range names {
		names[i] = roomName(int64(i), channels)
	}
	for b.Loop() {
		before := heapInUse()
		for _, name := range names {
			g.hub.hold(name)
		}
		b.ReportMetric((heapInUse()-before)/channels, "heap-B/channel")
		for _, name := range names {
			g.hub.release(b.Context(), g.hub.find(name))
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
	g := runForBench(b)
	b.ReportAllocs()
	for b.Loop() {
		g.hub.Receive(broker.Message{Channel: "room:1", Payload: []byte("x")})
	}
}

func roomName(i int64, of int) string { return fmt.Sprintf("room:%d", i%int64(of)) }

// runForBench runs a gateway until the benchmark ends.
func runForBench(b *testing.B) *Gateway {
	g, err := New(Config{Broker: broker.NewMemory(), Rules: rules.List{{Match: "*", Subscribe: rules.Anyone}}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := g.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	b.Cleanup(func() { cancel(); running.Wait() })
	for deadline := time.Now().Add(20 * time.Second); g.Ready() != nil; {
		if time.Now().After(deadline) {
			b.Fatalf("not ready: %v", g.Ready())
		}
		<-time.After(time.Millisecond)
	}
	return g
}

// receiveSteadily lets messages arrive for one channel after the other.
func receiveSteadily(h *hub, channels int) (stop func()) {
	var over atomic.Bool
	var receiving sync.WaitGroup
	receiving.Go(func() {
		for i := int64(0); !over.Load(); i++ {
			h.Receive(broker.Message{Channel: roomName(i, channels), Payload: []byte("x")})
		}
	})
	return func() { over.Store(true); receiving.Wait() }
}
