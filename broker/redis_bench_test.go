package broker_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
)

func startBench(b *testing.B) (*broker.Redis, *brokertest.RedisServer) {
	server := brokertest.StartRedis(b)
	node := newRedis(b, broker.RedisConfig{URL: server.URL()})
	told, _ := brokertest.RunBroker(b, node)
	told.WaitUp()
	return node, server
}

// How publishers share round trips: one at a time pays for each, many together
// pay for one pipeline.
func BenchmarkRedis_Publish(b *testing.B) {
	for name, o := range map[string]broker.PublishOptions{
		"live":    {},
		"history": {HistorySize: 100, HistoryTTL: time.Minute},
	} {
		for _, publishers := range []int{1, 64, 512} {
			b.Run(fmt.Sprintf("%s/publishers=%d", name, publishers), func(b *testing.B) {
				node, _ := startBench(b)
				payload := bytes.Repeat([]byte("x"), 128)
				var next atomic.Int64
				var wait sync.WaitGroup
				b.ReportAllocs()
				b.ResetTimer()
				for p := range publishers {
					wait.Go(func() {
						m := message(fmt.Sprintf("room:%d", p%200), "")
						m.Payload, m.User = payload, "alice"
						ctx, cancel := context.WithCancel(b.Context()) // of its own, as a session has
						defer cancel()
						for next.Add(1) <= int64(b.N) {
							if _, err := broker.Publish(ctx, node, m, o); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wait.Wait()
			})
		}
	}
}

// What a Cluster adds to a publication: the same load with one Redis and with 1, 3 and 6
// masters. node-µs/op is the CPU time of the node, and redis-conns the number of connections
// that all masters together have from it.
func BenchmarkRedis_PublishToMasters(b *testing.B) {
	for _, publishers := range []int{1, 64, 512} {
		for _, masters := range []int{0, 1, 3, 6} {
			b.Run(fmt.Sprintf("publishers=%d/masters=%d", publishers, masters), func(b *testing.B) {
				var servers []*brokertest.RedisServer
				var url string
				if masters == 0 {
					server := brokertest.StartRedis(b)
					servers, url = []*brokertest.RedisServer{server}, server.URL()
				} else {
					cluster := brokertest.StartRedisClusterOf(b, masters)
					servers, url = cluster.Nodes, cluster.URL()
				}
				node := newRedis(b, broker.RedisConfig{URL: url})
				told, _ := brokertest.RunBroker(b, node)
				told.WaitUp()
				publishAll(b, node, publishers, 10*publishers) // opens the connections
				b.ResetTimer()
				before := ownCPU(b)
				publishAll(b, node, publishers, b.N)
				b.ReportMetric(float64((ownCPU(b)-before).Microseconds())/float64(b.N), "node-µs/op")
				connections := 0
				for _, server := range servers {
					connections += strings.Count(server.CLI("CLIENT", "LIST"), "id=") - 1 // the one that asks
				}
				b.ReportMetric(float64(connections), "redis-conns")
			})
		}
	}
}

// publishAll publishes without history to 2,000 channels, by so many publishers at once.
func publishAll(b *testing.B, node *broker.Redis, publishers, messages int) {
	var next atomic.Int64
	var wait sync.WaitGroup
	for range publishers {
		wait.Go(func() {
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			for i := next.Add(1); i <= int64(messages); i = next.Add(1) {
				m := message(fmt.Sprintf("room:%d", i%2000), strings.Repeat("x", 128))
				if _, err := broker.Publish(ctx, node, m, broker.PublishOptions{}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
}

// ownCPU returns the CPU time of this process, which is the node's and the publishers'.
func ownCPU(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// One operation is a cold start: 10,000 channels, subscribed by 1,000 callers one
// by one, or by 100 callers a hundred at once.
func BenchmarkRedis_Subscribe10k(b *testing.B) {
	for _, together := range []int{1, 100} {
		b.Run(fmt.Sprintf("together=%d", together), func(b *testing.B) {
			server := brokertest.StartRedis(b)
			b.ReportAllocs()
			for b.Loop() {
				subscribe10k(b, server, together)
			}
		})
	}
}

func subscribe10k(b *testing.B, server *brokertest.RedisServer, together int) {
	const channels = 10_000
	callers := min(1000, channels/together)
	node := newRedis(b, broker.RedisConfig{URL: server.URL()})
	told, stop := brokertest.RunBroker(b, node)
	defer stop()
	told.WaitUp()
	var wait sync.WaitGroup
	for caller := range callers {
		wait.Go(func() {
			for own := range slices.Chunk(channelsOf(caller, channels/callers), together) {
				if err := node.Subscribe(b.Context(), own...); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wait.Wait()
}

func channelsOf(caller, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("room:%d:%d", caller, i)
	}
	return names
}
