package broker_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
)

func inspect(t *testing.T, url string) []broker.Inspection {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	found, err := broker.InspectRedis(ctx, broker.RedisConfig{URL: url})
	must(t, err)
	return found
}

func TestInspectRedis_AsAnAdministrator(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t, "--maxmemory-policy", "allkeys-lru", "--client-output-buffer-limit", "pubsub 1mb 512kb 10")
	found := inspect(t, server.URL())
	if len(found) != 1 || found[0].Address != server.Addr || len(found[0].Denied) > 0 || found[0].Refused != nil {
		t.Fatalf("found %+v", found)
	}
	if s := found[0].Settings; s["maxmemory-policy"] != "allkeys-lru" || !strings.Contains(s["client-output-buffer-limit"], "pubsub 1048576 524288 10") {
		t.Errorf("the settings are %q", s)
	}
}

func TestInspectRedis_AsAUserOfGateways(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t, "--maxmemory-policy", "allkeys-lru")
	server.CLI(append(aclLine(t), "-wait", "-publish")...)
	found := inspect(t, "redis://tidegate:PASSWORD@"+server.Addr)
	if len(found) != 1 || !slices.Equal(found[0].Denied, []string{"publish CHANNEL m", "wait 1 1"}) || found[0].Refused == nil {
		t.Fatalf("found %+v", found)
	}
	if s := found[0].Settings; s["maxmemory-policy"] != "allkeys-lru" {
		t.Errorf("the settings are %q", s)
	}
}

// Each master of a Cluster has its own ACL, and memory of its own.
func TestInspectRedis_EachMasterOfACluster(t *testing.T) {
	cluster := brokertest.StartRedisCluster(t)
	for _, node := range cluster.Nodes {
		node.CLI(append(aclLine(t), "+config|get")...)
	}
	full, strict := cluster.Nodes[1].Addr, cluster.Nodes[2].Addr
	cluster.Nodes[1].CLI("CONFIG", "SET", "maxmemory", "1")
	cluster.Nodes[2].CLI("ACL", "SETUSER", "tidegate", "-wait")
	found := inspect(t, strings.Replace(cluster.URL(), "://", "://tidegate:PASSWORD@", 1))
	if len(found) != 3 {
		t.Fatalf("found %+v, want 3 masters", found)
	}
	for _, i := range found {
		if refuses := i.Refused != nil && strings.Contains(i.Refused.Error(), "OOM"); refuses != (i.Address == full) {
			t.Errorf("%s accepts no messages because of %v", i.Address, i.Refused)
		}
		if slices.Equal(i.Denied, []string{"wait 1 1"}) != (i.Address == strict) || len(i.Denied) > 1 {
			t.Errorf("%s denies %q", i.Address, i.Denied)
		}
	}
}

func TestInspectRedis_ThatIsAway(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	server.Stop()
	if found, err := broker.InspectRedis(t.Context(), broker.RedisConfig{URL: "redis://x:secret@" + server.Addr}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("found %+v, %v", found, err)
	}
}
