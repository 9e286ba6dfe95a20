package broker_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
)

var replicated = broker.PublishOptions{HistorySize: 10, Replicas: 1}

func TestReplicas_ConfirmedIsWhatTheyHave(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
	other, otherTold := startNode(t, broker.RedisConfig{URL: server.URL()})
	told.WaitUp()
	otherTold.WaitUp()
	m := message("a", "1")
	m.Key = "k1"
	publishSure := func() (broker.Position, error) {
		t.Helper()
		start := time.Now()
		at, err := broker.Publish(t.Context(), b, m, replicated)
		if took := time.Since(start); took > promptly {
			t.Errorf("answered after %v", took)
		}
		return at, err
	}
	if at, err := publishSure(); !errors.Is(err, broker.ErrUnavailable) {
		t.Errorf("confirmed at %v, and there is no replica", at)
	}
	if at, err := publishSure(); !errors.Is(err, broker.ErrUnavailable) {
		t.Errorf("the same key once more: confirmed at %v, and there is no replica", at)
	}
	replica := follow(t, server)
	eventually := func(what string) (at broker.Position) {
		t.Helper()
		brokertest.Eventually(t, what, func() bool {
			var err error
			at, err = publishSure()
			return err == nil
		})
		return at
	}
	if first := eventually("the replica to confirm"); first.Offset != 1 {
		t.Errorf("the first is at %v", first)
	}
	if n := replica.CLI("XLEN", b.RedisName("a")); n != "1" {
		t.Errorf("the replica has %s messages", n)
	}

	replica.Pause()
	defer replica.Resume()
	m.Payload, m.Key = []byte("2"), "k2"
	failed := make(chan error)
	go func() {
		_, err := publishSure()
		failed <- err
	}()
	fast := time.Hour
	for range 20 { // which do not wait for what has to
		start := time.Now()
		if _, err := broker.Publish(t.Context(), b, message("b", "x"), kept); err != nil {
			t.Errorf("a message that needs no replica: %v after %v", err, time.Since(start))
		}
		fast = min(fast, time.Since(start))
	}
	if fast > replicasPatience {
		t.Errorf("each message that needs no replica takes %v or more", fast)
	}
	if err := <-failed; !errors.Is(err, broker.ErrUnavailable) {
		t.Errorf("confirmed, and the replica was away: %v", err)
	}
	if at, err := publishSure(); !errors.Is(err, broker.ErrUnavailable) {
		t.Errorf("the same key once more: confirmed at %v, and the replica was away", at)
	}
	// This one's connection has written nothing yet that WAIT could wait for.
	if at, err := broker.Publish(t.Context(), other, m, replicated); !errors.Is(err, broker.ErrUnavailable) {
		t.Errorf("the same key at another node: confirmed at %v, and the replica was away", at)
	}
	replica.Resume()
	second := eventually("the replica that was away to confirm")
	if payloads, _ := since(t, b, broker.Position{}); second.Offset != 2 || !slices.Equal(payloads, []string{"1", "2"}) {
		t.Errorf("the second is at %v, the history has %q", second, payloads)
	}
}

// replicasPatience is less than what is waited for replicas.
const replicasPatience = 300 * time.Millisecond

func TestReplicas_AMemoryHasNone(t *testing.T) {
	b := broker.NewMemory()
	told, _ := brokertest.RunBroker(t, b)
	told.WaitUp()
	if _, err := broker.Publish(t.Context(), b, message("a", "1"), replicated); !errors.Is(err, broker.ErrUnavailable) {
		t.Errorf("Publish: %v", err)
	}
}

func TestReplicas_OfASentinelAndOfACluster(t *testing.T) {
	for name, start := range map[string]func(*testing.T) (url string, replica *brokertest.RedisServer){
		"Sentinel": func(t *testing.T) (string, *brokertest.RedisServer) {
			s := brokertest.StartRedisSentinel(t)
			return s.URL(), s.Servers[1]
		},
		"Cluster": func(t *testing.T) (string, *brokertest.RedisServer) {
			c := brokertest.StartRedisCluster(t)
			names := newRedis(t, broker.RedisConfig{URL: c.URL()})
			return c.URL(), c.AddReplica(c.Owner(names.RedisName("a")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, replica := start(t)
			b, told := startNode(t, broker.RedisConfig{URL: url})
			told.WaitUp()
			m := message("a", "1")
			m.Key = "k"
			sure := func(what string) (at broker.Position) {
				t.Helper()
				brokertest.Eventually(t, what, func() bool {
					var err error
					at, err = broker.Publish(t.Context(), b, m, replicated)
					return err == nil
				})
				return at
			}
			first := sure("the replica to confirm")
			replica.Pause()
			defer replica.Resume()
			m = message("a", "2")
			m.Key = "k2"
			start := time.Now()
			if _, err := broker.Publish(t.Context(), b, m, replicated); !errors.Is(err, broker.ErrUnavailable) || time.Since(start) > promptly {
				t.Errorf("confirmed after %v, and the replica was away: %v", time.Since(start), err)
			}
			if _, err := broker.Publish(t.Context(), b, message("b", "x"), kept); err != nil {
				t.Errorf("a message that needs no replica: %v", err)
			}
			replica.Resume()
			if second := sure("the replica that was away to confirm"); second.Epoch != first.Epoch || second.Offset != 2 {
				t.Errorf("%v came after %v", second, first)
			}
		})
	}
}

// What a replica has is there when the master is killed in the midst of it: whatever was
// confirmed until then, and however much was on its way.
func TestReplicas_ConfirmedOutlivesTheMaster(t *testing.T) {
	for name, start := range map[string]func(*testing.T) (url string, master *brokertest.RedisServer){
		"Sentinel": func(t *testing.T) (string, *brokertest.RedisServer) {
			s := brokertest.StartRedisSentinel(t)
			return s.URL(), s.Servers[0]
		},
		"Cluster": func(t *testing.T) (string, *brokertest.RedisServer) {
			c := brokertest.StartRedisCluster(t)
			names := newRedis(t, broker.RedisConfig{URL: c.URL()})
			master := c.Owner(names.RedisName("a"))
			c.AddReplica(master)
			return c.URL(), master
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, master := start(t)
			b, told := startNode(t, broker.RedisConfig{URL: url})
			told.WaitUp()
			sure := confirmUntil(t, b, master.Stop)
			brokertest.Eventually(t, "a message at the new master", func() bool {
				_, err := broker.Publish(t.Context(), b, message("a", "later"), broker.PublishOptions{HistorySize: plenty})
				return err == nil
			})
			payloads, _ := since(t, b, broker.Position{})
			have := make(map[string]bool)
			for _, payload := range payloads {
				have[payload] = true
			}
			for _, payload := range sure {
				if !have[payload] {
					t.Errorf("%q was confirmed, and is not among %d messages of the new master", payload, len(payloads))
				}
			}
		})
	}
}

const plenty = 100_000 // messages that a history keeps

// confirmUntil publishes what a replica has to confirm, from many publishers, has something
// happen in the midst of it, and returns what was confirmed. It ends when nothing is
// confirmed any more.
func confirmUntil(t *testing.T, b *broker.Redis, happens func()) (sure []string) {
	t.Helper()
	const publishers, before = 8, 200
	var mu sync.Mutex
	var wait sync.WaitGroup
	enough := make(chan struct{})
	for i := range publishers {
		wait.Go(func() {
			for n := 0; ; n++ {
				payload := fmt.Sprint(i, " ", n)
				_, err := broker.Publish(t.Context(), b, message("a", payload), broker.PublishOptions{HistorySize: plenty, Replicas: 1})
				mu.Lock()
				switch {
				case err == nil:
					if sure = append(sure, payload); len(sure) == before {
						close(enough)
					}
				case len(sure) >= before:
					mu.Unlock()
					return
				}
				mu.Unlock()
			}
		})
	}
	<-enough
	happens()
	wait.Wait()
	return sure
}

// One master of a Cluster may have all partitions, each of which publishes in two ways.
func TestReplicas_EachPartitionHasAConnectionForThem(t *testing.T) {
	cluster := brokertest.StartRedisClusterOf(t, 1)
	b, told := startNode(t, broker.RedisConfig{URL: cluster.URL()})
	told.WaitUp()
	channels := make(map[string]string) // by tag
	for _, channel := range channelNames(1000) {
		channels[tagOf(b.RedisName(channel))] = channel
	}
	var wait sync.WaitGroup
	for _, channel := range channels {
		for _, o := range []broker.PublishOptions{{}, replicated} {
			wait.Go(func() {
				for range 20 { // a busy machine may be slow to connect so often
					_, err := broker.Publish(t.Context(), b, message(channel, "x"), o)
					if err == nil || o.Replicas > 0 && strings.HasSuffix(err.Error(), "0 of 1 replicas have it") {
						return
					}
				}
				t.Errorf("a message on %q cannot be published with %+v", channel, o)
			})
		}
	}
	wait.Wait()
	if _, err := b.Latest(t.Context(), "a", broker.Most{}); err != nil {
		t.Error(err)
	}
}
