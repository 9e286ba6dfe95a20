package broker_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
)

func TestRedis_SlotMoves(t *testing.T) {
	cluster := brokertest.StartRedisCluster(t)
	a, told := startNode(t, broker.RedisConfig{URL: cluster.URL()})
	b, _ := startNode(t, broker.RedisConfig{URL: cluster.URL()})
	told.WaitUp()
	channels := channelNames(30)
	subscribeAll(t, a, channels)
	o := broker.PublishOptions{HistorySize: 10}
	before, err := broker.Publish(t.Context(), b, message(channels[0], "before"), o)
	if err != nil {
		t.Fatal(err)
	}
	stop := keepPublishing(t, b, channels, broker.PublishOptions{})
	defer stop()
	cluster.MoveSlot(a.RedisName(channels[0]))
	gaps := told.WaitGaps(1)
	stop()
	for _, channel := range gaps {
		if tagOf(a.RedisName(channel)) != tagOf(a.RedisName(channels[0])) {
			t.Errorf("gap told for %q, whose slot stayed", channel)
		}
	}
	told.WaitUp()
	mustDeliver(t, b, told, channels)
	page, err := b.Since(t.Context(), channels[0], broker.Position{}, broker.Most{})
	if err != nil || len(page.Messages) != 1 || page.Messages[0].Position.Offset != before.Offset {
		t.Errorf("history after the move: %+v, %v", page, err)
	}
}

// A former master goes on taking what is subscribed and published, as a replica. A
// node that stays with it depends on it for nothing.
func TestRedis_ClusterTakeovers(t *testing.T) {
	cluster := brokertest.StartRedisCluster(t)
	first := cluster.Nodes[0]
	second := cluster.AddReplica(first)
	a, told := startNode(t, broker.RedisConfig{URL: cluster.URL()})
	b, itsTold := startNode(t, broker.RedisConfig{URL: cluster.URL()})
	told.WaitUp()
	itsTold.WaitUp()
	channels := channelNames(40)
	subscribeAll(t, a, channels)
	for _, takes := range []struct{ over, from *brokertest.RedisServer }{{second, first}, {first, second}} {
		cluster.TakeOver(takes.over)
		brokertest.Eventually(t, "nobody to be subscribed at the former master", func() bool {
			return takes.from.CLI("PUBSUB", "SHARDCHANNELS") == ""
		})
		told.WaitUp()
		mustDeliver(t, b, told, channels)
		gaps := told.Gaps()
		takes.from.Pause()
		mustDeliver(t, b, told, channels)
		takes.from.Resume()
		if more := told.Gaps(); len(more) != len(gaps) {
			t.Errorf("gaps are told while the former master stands still: %q", more[len(gaps):])
		}
	}
	for _, channel := range told.Gaps() {
		if owner := cluster.Owner(a.RedisName(channel)); owner != first {
			t.Errorf("gap told for %q, whose master has stayed", channel)
		}
	}
}

// One connection to each master subscribes all that it has.
func TestRedis_ClusterOneSubscriberForEachMaster(t *testing.T) {
	cluster := brokertest.StartRedisCluster(t)
	b, told := startNode(t, broker.RedisConfig{URL: cluster.URL()})
	told.WaitUp()
	subscribeAll(t, b, channelNames(200))
	for _, node := range cluster.Nodes {
		if list := strings.Fields(node.CLI("CLIENT", "LIST", "TYPE", "PUBSUB")); strings.Count(strings.Join(list, " "), "ssub=") != 1 {
			t.Errorf("subscribers at one master:\n%s", strings.Join(list, " "))
		}
	}
	mustDeliver(t, b, told, channelNames(200))
}

func tagOf(name string) string {
	tag, _, _ := strings.Cut(name, "}")
	return tag
}

func TestRedis_MasterOfClusterIsAway(t *testing.T) {
	cluster := brokertest.StartRedisCluster(t)
	b, told := startNode(t, broker.RedisConfig{URL: cluster.URL()})
	told.WaitUp()
	channels := channelNames(60)
	subscribeAll(t, b, channels)
	away := cluster.Nodes[1]
	var lost, kept []string
	for _, channel := range channels {
		if cluster.Owner(b.RedisName(channel)) == away {
			lost = append(lost, channel)
		} else {
			kept = append(kept, channel)
		}
	}
	if len(lost) == 0 || len(kept) == 0 {
		t.Fatalf("%d channels on the node, %d on others", len(lost), len(kept))
	}
	away.Stop()
	told.WaitDown()
	mustDeliver(t, b, told, kept)
	start := time.Now()
	_, err := broker.Publish(t.Context(), b, message(lost[0], "x"), broker.PublishOptions{})
	if took := time.Since(start); took > promptly || !errors.Is(err, broker.ErrUnavailable) {
		t.Errorf("Publish to the lost master answered after %v: %v", took, err)
	}
	away.Start()
	told.WaitUp()
	if gaps := told.WaitGaps(len(lost)); !slices.Equal(gaps, lost) {
		t.Errorf("gaps told: %q, want %q", gaps, lost)
	}
	mustDeliver(t, b, told, channels)
}

func TestRedis_SentinelFailover(t *testing.T) {
	sentinel := brokertest.StartRedisSentinel(t)
	b, told := startNode(t, broker.RedisConfig{URL: sentinel.URL()})
	told.WaitUp()
	channels := channelNames(20)
	subscribeAll(t, b, channels)
	o := broker.PublishOptions{HistorySize: 10}
	before, err := broker.Publish(t.Context(), b, message("a", "1"), o)
	if err != nil {
		t.Fatal(err)
	}
	old := sentinel.Master()
	old.Pause()
	brokertest.Eventually(t, "the failover", func() bool { return sentinel.Master() != old })
	if gaps := told.WaitGaps(len(channels)); !slices.Equal(gaps, channels) {
		t.Errorf("gaps told: %q, want each subscribed channel once", gaps)
	}
	told.WaitUp()
	mustDeliver(t, b, told, channels)

	// The new master may not have had all: nobody may trust an old cursor.
	page, err := b.Since(t.Context(), "a", before, broker.Most{})
	if err != nil || !page.Lost || page.Top.Epoch == before.Epoch {
		t.Errorf("since before the failover: %+v, %v; want another epoch, and lost", page, err)
	}
}

// Nobody can ask a Sentinel any more. A master whose replica has left it may be one
// no longer.
func TestRedis_SentinelsAreAway(t *testing.T) {
	sentinel := brokertest.StartRedisSentinel(t)
	b, told := startNode(t, broker.RedisConfig{URL: sentinel.URL()})
	told.WaitUp()
	subscribeAll(t, b, []string{"a"})
	replica := sentinel.Servers[1]
	brokertest.Eventually(t, "the master to know of its replica", func() bool {
		return strings.Contains(sentinel.Servers[0].CLI("INFO", "replication"), "state=online")
	})
	mustDeliver(t, b, told, []string{"a"})

	sentinel.Pause()
	for start := time.Now(); time.Since(start) < 4*time.Second; {
		if _, err := broker.Publish(t.Context(), b, message("a", "x"), broker.PublishOptions{}); err != nil {
			t.Fatalf("with a master that has all its replicas: %v", err)
		}
	}
	replica.CLI("REPLICAOF", "NO", "ONE") // as a Sentinel does
	if err := told.WaitDown(); !strings.Contains(err.Error(), "Sentinel") {
		t.Errorf("the link is down because of %v", err)
	}
	for _, o := range []broker.PublishOptions{{}, {HistorySize: 5}} {
		if _, err := broker.Publish(t.Context(), b, message("a", "x"), o); !errors.Is(err, broker.ErrUnavailable) {
			t.Errorf("published at a master that may be none: %v", err)
		}
	}
	sentinel.Resume()
	told.WaitUp()
	mustDeliver(t, b, told, []string{"a"})
}

// A Sentinel may name a master that is not promoted yet.
func TestRedis_SentinelNamesAReplica(t *testing.T) {
	sentinel := brokertest.StartRedisSentinel(t)
	master, odd := sentinel.Servers[0], brokertest.StartRedis(t)
	host, port, _ := strings.Cut(odd.Addr, ":")
	sentinel.Pause()
	b, told := startNode(t, broker.RedisConfig{URL: sentinel.URL()})
	told.WaitDown()
	master.CLI("REPLICAOF", host, port)
	sentinel.Resume()
	brokertest.Eventually(t, "a publish to be refused by the replica", func() bool {
		_, err := broker.Publish(t.Context(), b, message("a", "x"), broker.PublishOptions{})
		if err == nil {
			return strings.Contains(master.CLI("INFO", "replication"), "role:master") // by then it is one again
		}
		return strings.Contains(err.Error(), "replica")
	})
}
