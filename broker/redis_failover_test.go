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
