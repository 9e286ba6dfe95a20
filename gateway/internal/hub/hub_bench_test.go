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

// One operation is a first join and a last leave on one of many channels, while messages
// arrive for all of them. Its cost must not grow with the number of channels.
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
					h.letGo(ch)
				}
			})
		})
	}
}

// BenchmarkHub_Hold reports the heap that a channel takes, without its name.
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
			h.release(h.find(name))
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

// BenchmarkHub_Receive measures a message for which there is no subscriber on this node any
// more.
func BenchmarkHub_Receive(b *testing.B) {
	h := startHub(b)
	b.ReportAllocs()
	for b.Loop() {
		h.Receive(&broker.Message{Channel: "room:1", Payload: []byte("x")})
	}
}

// BenchmarkTrace_Nobody reports how much of a message's time in the hub is spent on checking
// whether it is traced. It uses the cheapest message, one without subscribers; for all
// others, the share is smaller.
func BenchmarkTrace_Nobody(b *testing.B) {
	h := startHub(b)
	ch := h.hold("room")
	defer h.release(ch)
	m := broker.Message{Channel: "room", Payload: []byte("hi"), Kind: broker.Text}
	const turns = 1000                         // long enough for the clock's resolution
	looking, receiving := time.Hour, time.Hour // minimum, to exclude other work
	for b.Loop() {
		began := time.Now()
		for range turns {
			if h.following.begin(ch, &m) != nil {
				b.Fatal("somebody traces")
			}
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

// startHub returns a hub with a broker in memory, which runs until the benchmark ends.
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

// ear receives what the broker reports.
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

// receiveSteadily lets messages arrive for all channels, one after the other, until stop is
// called.
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
