package gateway_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"tidegate/broker"
	"tidegate/broker/brokertest"
	"tidegate/gateway"
)

// Measures what a node in memory retains for a subscribe to a channel of its own: the
// subscription, the channel (also at the broker), and the subscription's share of its session.
func TestSubscribe_HoldsLittle(t *testing.T) {
	const sessions = 100
	n := startLive(t, broker.NewMemory())
	before := heapNow().HeapAlloc
	n.subscribeMany(sessions)
	if held := float64(heapNow().HeapAlloc-before) / (sessions * channelsOfMany); held > 700 {
		t.Errorf("a subscription with its channel holds %.0f bytes, at most 700 are wanted", held)
	}
}

// One operation is a node on which sessions subscribe to a million different channels in all.
// See above for what a subscription includes.
func BenchmarkSubscribe_Million(b *testing.B) {
	b.Run("memory", func(b *testing.B) {
		subscribeMillion(b, func() broker.Broker { return broker.NewMemory() })
	})
	b.Run("redis", func(b *testing.B) {
		server := brokertest.StartRedis(b)
		subscribeMillion(b, func() broker.Broker {
			redis, err := broker.NewRedis(broker.RedisConfig{URL: server.URL()})
			must(b, err)
			return redis
		})
	})
}

func subscribeMillion(b *testing.B, newBroker func() broker.Broker) {
	const sessions = 10_000
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		n := startLive(b, newBroker())
		before := heapNow().HeapAlloc
		b.StartTimer()
		n.subscribeMany(sessions)
		b.StopTimer()
		b.ReportMetric(float64(heapNow().HeapAlloc-before)/(sessions*channelsOfMany), "heap-B/subscription")
		n.stop()
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*sessions*channelsOfMany), "ns/subscription")
}

const channelsOfMany = 100 // of each session

// subscribeMany makes sessions subscribe to channels of their own, as their clients would.
func (n *node) subscribeMany(sessions int) {
	const together = 100
	a := &audience{all: make(chan struct{}, 1)}
	for first := 0; first < sessions; first += together {
		a.expect(together * (1 + channelsOfMany))
		for i := first; i < first+together; i++ {
			s, err := n.Open(context.Background(), gateway.Hello{Protocol: words{"words"}, Transport: "test"})
			must(n.t, err)
			s.Attach(newSwallower(a))
			for k := range channelsOfMany {
				must(n.t, s.Receive(context.Background(), gateway.Frame{Data: fmt.Appendf(nil, "sub room:%d:%d", i, k)}))
			}
		}
		a.await(n.t)
	}
}

// heapNow returns memory statistics after a garbage collection.
func heapNow() (m runtime.MemStats) {
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m
}
