package broker_test

import (
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
)

// onWays returns the URL of a Cluster on ways of a node's own, to each of its masters and
// replicas.
func onWays(t *testing.T, cluster *brokertest.RedisCluster, replicas ...*brokertest.RedisServer) (url string, ways []*brokertest.Way) {
	t.Helper()
	ways = brokertest.LayWays(t, append(replicas, cluster.Nodes...)...)
	var addresses []string
	for _, way := range ways[len(replicas):] {
		addresses = append(addresses, way.Addr)
	}
	return "redis+cluster://" + strings.Join(addresses, ","), ways
}

// While a replica takes over, the links to it and to the former master are cut, and the
// others are slow. What was confirmed meanwhile is told as a gap, or heard.
func TestRedis_TakeoverWhileLinksAreCutAndSlow(t *testing.T) {
	t.Parallel()
	cluster := brokertest.StartRedisCluster(t)
	first := cluster.Nodes[0]
	second := cluster.AddReplica(first)
	url, ways := onWays(t, cluster, second)
	a, told := startNode(t, broker.RedisConfig{URL: url})
	b, itsTold := startNode(t, broker.RedisConfig{URL: cluster.URL()})
	told.WaitUp()
	itsTold.WaitUp()
	var channels []string
	for _, channel := range channelNames(40) {
		if cluster.Owner(b.RedisName(channel)) == first {
			channels = append(channels, channel)
		}
	}
	subscribeAll(t, a, channels)
	for i, way := range ways {
		if i < 2 { // to the second, and to the first
			way.Break()
		} else {
			way.Slow(200 * time.Millisecond)
		}
	}
	cluster.TakeOver(second)
	for _, channel := range channels {
		brokertest.Eventually(t, "a message to be confirmed by the new master", func() bool {
			_, err := broker.Publish(t.Context(), b, message(channel, "meanwhile"), broker.PublishOptions{})
			return err == nil
		})
	}
	for _, way := range ways {
		way.Mend()
	}
	told.WaitUp()
	mustDeliver(t, b, told, channels)
	gaps := strings.Join(told.Gaps(), " ")
	for _, channel := range channels {
		heard := false
		for _, m := range told.Messages(channel) {
			heard = heard || string(m.Payload) == "meanwhile"
		}
		if !heard && !strings.Contains(gaps, channel) {
			t.Errorf("%q has missed a message in silence", channel)
		}
	}
}

// Takeovers leave no connections and no goroutines behind.
func TestRedis_TakeoversLeaveNothingBehind(t *testing.T) {
	cluster := brokertest.StartRedisCluster(t)
	first := cluster.Nodes[0]
	second := cluster.AddReplica(first)
	b, told := startNode(t, broker.RedisConfig{URL: cluster.URL()})
	told.WaitUp()
	channels := channelNames(30)
	subscribeAll(t, b, channels)
	round := func() {
		for _, server := range []*brokertest.RedisServer{second, first} {
			cluster.TakeOver(server)
			told.WaitUp()
			mustDeliver(t, b, told, channels)
		}
	}
	round()
	held := func() (connections int) {
		for _, server := range []*brokertest.RedisServer{first, second, cluster.Nodes[1], cluster.Nodes[2]} {
			_, rest, _ := strings.Cut(server.CLI("INFO", "clients"), "connected_clients:")
			n, _ := strconv.Atoi(strings.Fields(rest)[0])
			connections += n
		}
		return connections
	}
	goroutines, connections := runtime.NumGoroutine(), held()
	for range 2 {
		round()
	}
	brokertest.Eventually(t, fmt.Sprintf("%d goroutines and some %d connections at most", goroutines, connections), func() bool {
		return runtime.NumGoroutine() <= goroutines && held() < connections+4 // one for each takeover would be a leak
	})
}

// The way to one of several servers is dead in one direction, while messages keep coming
// from it, and then all is flushed: who subscribes is answered all the same.
func TestRedis_SubscribesAreAnsweredWhateverElse(t *testing.T) {
	t.Parallel()
	sentinel := brokertest.StartRedisSentinel(t)
	ways := brokertest.LayWays(t, sentinel.Servers[0], sentinel.Servers[1], sentinel.Sentinel)
	b, told := startNode(t, broker.RedisConfig{URL: "redis+sentinel://" + ways[2].Addr + "/main"})
	other, itsTold := startNode(t, broker.RedisConfig{URL: sentinel.URL()})
	told.WaitUp()
	itsTold.WaitUp()
	subscribeAll(t, b, []string{"a"})
	quiet := makeNoise(t, other, "a")
	defer quiet()
	told.WaitMessages("a", 10)
	ways[0].Block()
	start := time.Now()
	for i := range 8 {
		if err := b.Subscribe(t.Context(), fmt.Sprint("new:", i)); !errors.Is(err, broker.ErrUnavailable) {
			t.Errorf("Subscribe: %v", err)
		}
	}
	if took := time.Since(start); took > 3*promptly {
		t.Errorf("8 subscribes were answered after %v", took)
	}
	told.WaitDown()
	quiet()
	ways[0].Mend()
	told.WaitUp()
	sentinel.Flush()
	start = time.Now()
	for i := range 8 {
		channel := fmt.Sprint("new:", i)
		if err := b.Subscribe(t.Context(), channel); err != nil {
			t.Errorf("Subscribe after FLUSHALL: %v", err)
		}
		if tops, err := b.Tops(t.Context(), []string{channel}); err != nil || !tops[0].Unborn() {
			t.Errorf("Tops after FLUSHALL: %v, %v", tops, err)
		}
	}
	if took := time.Since(start); took > 3*promptly {
		t.Errorf("8 subscribes after FLUSHALL were answered after %v", took)
	}
}

// A key is as safe as its message. Where replicas have to have both, a retry at the one
// that has taken over is the same message; where they have not, it is another one in
// another epoch, and the first is told to be lost.
func TestRedis_AKeyAcrossATakeover(t *testing.T) {
	t.Parallel()
	cluster := brokertest.StartRedisCluster(t)
	b, told := startNode(t, broker.RedisConfig{URL: cluster.URL()})
	told.WaitUp()
	name := b.RedisName("a")
	first := cluster.Owner(name)
	second := cluster.AddReplica(first)
	insist := func(key string, o broker.PublishOptions) (at broker.Position) {
		t.Helper()
		m := message("a", key)
		m.Key = key
		brokertest.Eventually(t, "a message to be confirmed", func() bool {
			var err error
			at, err = broker.Publish(t.Context(), b, m, o)
			return err == nil
		})
		return at
	}
	sure := insist("sure", replicated)
	cluster.TakeOver(second)
	if again := insist("sure", replicated); again != sure {
		t.Errorf("one key, two messages: %v and %v", sure, again)
	}
	follows := func(server *brokertest.RedisServer) {
		brokertest.Eventually(t, "the former master to follow", func() bool {
			return strings.Contains(server.CLI("INFO", "replication"), "master_link_status:up")
		})
	}
	follows(first)
	first.Pause()
	second.CLI("CLIENT", "KILL", "TYPE", "replica")
	unsure := insist("unsure", kept)
	second.Pause()
	first.Resume()
	first.CLI("CLUSTER", "FAILOVER", "TAKEOVER")
	second.Resume()
	follows(second)
	if again := insist("unsure", kept); again.Epoch == unsure.Epoch {
		t.Errorf("one key, two messages, in one epoch: %v and %v", unsure, again)
	}
	if payloads, page := since(t, b, unsure); !page.Lost {
		t.Errorf("since %v, which is forgotten: %q, %+v", unsure, payloads, page)
	}
}
