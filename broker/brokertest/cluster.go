package brokertest

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
)

// RedisCluster is a Redis Cluster of three masters of a test's own.
type RedisCluster struct {
	Nodes []*RedisServer

	t testing.TB
}

const clusterSlots = 16384

// StartRedisCluster starts three masters and stops them when the test ends. It
// needs redis-server: see RequireRedis.
func StartRedisCluster(t testing.TB) *RedisCluster {
	t.Helper()
	RequireRedis(t)
	c := &RedisCluster{t: t}
	for range 3 {
		_, bus, _ := net.SplitHostPort(freeAddr(t))
		c.Nodes = append(c.Nodes, StartRedis(t, "--cluster-enabled", "yes", "--cluster-port", bus,
			"--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "no"))
	}
	share := clusterSlots/len(c.Nodes) + 1
	for i, node := range c.Nodes {
		last := min((i+1)*share, clusterSlots) - 1
		node.CLI("CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(i*share), strconv.Itoa(last))
		node.CLI("CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
	}
	for _, node := range c.Nodes[1:] {
		c.Nodes[0].CLI("CLUSTER", "MEET", "127.0.0.1", port(node.Addr), node.busPort())
	}
	Eventually(t, "the cluster to agree", func() bool {
		for _, node := range c.Nodes {
			info := node.CLI("CLUSTER", "INFO")
			if !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_slots_ok:16384") {
				return false
			}
		}
		return true
	})
	return c
}

// AddReplica starts a replica of one of the masters. It is none of c.Nodes.
func (c *RedisCluster) AddReplica(master *RedisServer) *RedisServer {
	c.t.Helper()
	_, bus, _ := net.SplitHostPort(freeAddr(c.t))
	replica := StartRedis(c.t, "--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "2000",
		"--cluster-require-full-coverage", "no", "--repl-diskless-sync-delay", "0")
	replica.CLI("CLUSTER", "MEET", "127.0.0.1", port(master.Addr), master.busPort())
	Eventually(c.t, "the replica to know its master", func() bool {
		_, err := replica.do("CLUSTER", "REPLICATE", master.CLI("CLUSTER", "MYID"))
		return err == nil
	})
	Eventually(c.t, "the replica to follow", func() bool {
		return strings.Contains(replica.CLI("INFO", "replication"), "master_link_status:up")
	})
	Eventually(c.t, "all to know the replica", func() bool {
		for _, node := range c.Nodes {
			if !strings.Contains(node.CLI("CLUSTER", "NODES"), replica.CLI("CLUSTER", "MYID")+" "+replica.Addr) {
				return false
			}
		}
		return true
	})
	return replica
}

// TakeOver makes a replica the master in place of its own, which becomes its
// replica.
func (c *RedisCluster) TakeOver(replica *RedisServer) {
	c.t.Helper()
	Eventually(c.t, "the replica to take over", func() bool {
		if strings.Contains(replica.CLI("INFO", "replication"), "role:master") {
			return true
		}
		_, _ = replica.do("CLUSTER", "FAILOVER")
		return false
	})
}

// URL is where a broker finds the cluster.
func (c *RedisCluster) URL() string {
	var addresses []string
	for _, node := range c.Nodes {
		addresses = append(addresses, node.Addr)
	}
	return "redis+cluster://" + strings.Join(addresses, ",")
}

// Flush removes all keys.
func (c *RedisCluster) Flush() {
	for _, node := range c.Nodes {
		node.Flush()
	}
}

// Owner returns the node that a key's slot belongs to.
func (c *RedisCluster) Owner(key string) *RedisServer {
	c.t.Helper()
	for _, node := range c.Nodes {
		if _, err := node.do("EXISTS", key); err == nil {
			return node
		}
	}
	c.t.Fatalf("no node has the slot of %q", key)
	return nil
}

// MoveSlot moves the slot of a key, with all keys in it, to another node.
func (c *RedisCluster) MoveSlot(key string) {
	c.t.Helper()
	from := c.Owner(key)
	to := c.Nodes[0]
	if to == from {
		to = c.Nodes[1]
	}
	slot := from.CLI("CLUSTER", "KEYSLOT", key)
	to.CLI("CLUSTER", "SETSLOT", slot, "IMPORTING", from.CLI("CLUSTER", "MYID"))
	from.CLI("CLUSTER", "SETSLOT", slot, "MIGRATING", to.CLI("CLUSTER", "MYID"))
	for {
		keys := strings.Fields(strings.ReplaceAll(from.CLI("CLUSTER", "GETKEYSINSLOT", slot, "100"), " ", "\x00"))
		if len(keys) == 0 {
			break
		}
		for _, key := range keys {
			from.CLI("MIGRATE", "127.0.0.1", port(to.Addr), strings.ReplaceAll(key, "\x00", " "), "0", "5000")
		}
	}
	for _, node := range []*RedisServer{to, from} {
		node.CLI("CLUSTER", "SETSLOT", slot, "NODE", to.CLI("CLUSTER", "MYID"))
	}
	Eventually(c.t, fmt.Sprintf("slot %s to move", slot), func() bool { return c.Owner(key) == to })
}

func (s *RedisServer) busPort() string {
	for i, arg := range s.args {
		if arg == "--cluster-port" {
			return s.args[i+1]
		}
	}
	return ""
}

func port(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}
