package broker_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"tidegate/broker"
	"tidegate/broker/brokertest"
)

// A replica takes a PUBLISH, and nobody on the master hears it.
func TestRedis_ReplicaFromTheStart(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	server.CLI("REPLICAOF", "127.0.0.1", "1")
	b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
	if err := told.WaitDown(); !strings.Contains(err.Error(), "replica") {
		t.Errorf("the link is down because of %v", err)
	}
	for name, o := range map[string]broker.PublishOptions{"bare": {Bare: true}, "enveloped": {}, "history": {HistorySize: 5}} {
		_, err := broker.Publish(t.Context(), b, message("a", "x"), o)
		if !errors.Is(err, broker.ErrUnavailable) || !strings.Contains(err.Error(), "replica") {
			t.Errorf("%s: %v; want unavailable, because it is a replica", name, err)
		}
	}
	server.CLI("REPLICAOF", "NO", "ONE")
	told.WaitUp()
	subscribeAll(t, b, []string{"a"})
	mustDeliver(t, b, told, []string{"a"})
}

// A master that is demoted behind its address goes on taking what is published, and
// keeps its connections.
func TestRedis_MasterIsDemotedBehindItsAddress(t *testing.T) {
	brokertest.RequireRedis(t)
	former, master := brokertest.StartRedis(t), brokertest.StartRedis(t)
	way := brokertest.LayWay(t, former.Addr)
	b, told := startNode(t, broker.RedisConfig{URL: "redis://" + way.Addr})
	told.WaitUp()
	channels := channelNames(20)
	subscribeAll(t, b, channels)
	for _, o := range []broker.PublishOptions{{Bare: true}, {}} {
		if _, err := broker.Publish(t.Context(), b, message("a", "x"), o); err != nil {
			t.Fatal(err)
		}
	}
	host, port, _ := strings.Cut(master.Addr, ":")
	former.CLI("REPLICAOF", host, port)
	for name, o := range map[string]broker.PublishOptions{"bare": {Bare: true}, "enveloped": {}, "history": {HistorySize: 5}} {
		if _, err := broker.Publish(t.Context(), b, message("a", "x"), o); !errors.Is(err, broker.ErrUnavailable) {
			t.Errorf("%s: published at the former master: %v", name, err)
		}
	}
	told.WaitDown()
	way.Lead(master.Addr)
	told.WaitUp()
	if gaps := told.WaitGaps(len(channels)); !slices.Equal(gaps, channels) {
		t.Errorf("gaps told: %q, want each subscribed channel once", gaps)
	}
	mustDeliver(t, b, told, channels)
}

// A former master passes on what is published at the new one. Until its subscribers know that
// it is a replica, they take nothing from it that a repair then delivers again.
func TestRedis_DemotedMasterPassesOnNothingTwice(t *testing.T) {
	brokertest.RequireRedis(t)
	former := brokertest.StartRedis(t, "--repl-diskless-sync-delay", "0")
	host, port, _ := strings.Cut(former.Addr, ":")
	master := brokertest.StartRedis(t, "--replicaof", host+" "+port)
	way := brokertest.LayWay(t, former.Addr)
	b, told := startNode(t, broker.RedisConfig{URL: "redis://" + way.Addr})
	told.WaitUp()
	subscribeAll(t, b, []string{"a", "b"})
	publish(t, b, "before")
	follows := func(server *brokertest.RedisServer) {
		brokertest.Eventually(t, "a server to follow", func() bool {
			return strings.Contains(server.CLI("INFO", "replication"), "master_link_status:up")
		})
	}
	follows(master)
	way.Block() // so that the node does not ask who is there
	brokertest.Eventually(t, "the failover to begin", func() bool {
		_, err := former.Try("FAILOVER")
		return err == nil
	})
	follows(former)
	name := b.RedisName("a")
	master.CLI("EVAL", broker.AppendScript, "2", name, name+" meta", "meanwhile", "100", "0")
	master.CLI("PUBLISH", b.RedisName("b"), "passed on")
	told.WaitMessages("b", 1)
	way.Lead(master.Addr)
	way.Mend()
	told.WaitGaps(1)
	told.WaitUp()
	publishAfter(t, b, "after")
	for _, m := range told.WaitMessages("a", 2) {
		if m.Position.IsZero() {
			t.Errorf("%q came without its position", m.Payload)
		}
	}
}
