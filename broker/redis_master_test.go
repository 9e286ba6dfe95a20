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
