package brokertest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// RedisCluster is a Redis Cluster, private to a test.
type RedisCluster struct {
	Nodes []*RedisServer // the masters at the start

	t        testing.TB
	replicas []*RedisServer
	moving   map[string]*RedisServer // by key: the target of its slot while it moves
}

const clusterSlots = 16384

// StartRedisCluster starts three masters and stops them when the test ends. It needs
// redis-server; see RequireRedis.
func StartRedisCluster(t testing.TB) *RedisCluster {
	t.Helper()
	return StartRedisClusterOf(t, 3)
}

// StartRedisClusterOf is like StartRedisCluster, for another number of masters.
func StartRedisClusterOf(t testing.TB, masters int) *RedisCluster {
	t.Helper()
	c := &RedisCluster{t: t, moving: make(map[string]*RedisServer)}
	for range masters {
		c.Nodes = append(c.Nodes, startClusterNode(t))
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

func startClusterNode(t testing.TB) *RedisServer {
	t.Helper()
	return StartRedis(t, "--cluster-enabled", "yes", "--cluster-port", port(FreeAddress(t)), "--cluster-node-timeout", "2000",
		"--cluster-require-full-coverage", "no", "--repl-diskless-sync-delay", "0")
}

// AddReplica starts a replica of one of the masters and returns when it is in sync and all
// masters know it. It is not added to c.Nodes.
func (c *RedisCluster) AddReplica(master *RedisServer) *RedisServer {
	c.t.Helper()
	replica := startClusterNode(c.t)
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
	c.replicas = append(c.replicas, replica)
	return replica
}

// TakeOver promotes a replica by a failover. Its former master becomes its replica.
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

// AwaitAge waits until all of c.Nodes have been up for at least age.
func (c *RedisCluster) AwaitAge(age time.Duration) {
	c.t.Helper()
	for _, node := range c.Nodes {
		Eventually(c.t, "a master to have been there for a while", func() bool {
			_, rest, _ := strings.Cut(node.CLI("INFO", "server"), "uptime_in_seconds:")
			seconds, _, _ := strings.Cut(rest, "\r")
			uptime, _ := strconv.Atoi(seconds)
			return time.Duration(uptime)*time.Second >= age
		})
	}
}

// URL returns the URL of the cluster for a broker.
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

// Owner returns the node that owns the slot of a key.
func (c *RedisCluster) Owner(key string) *RedisServer {
	c.t.Helper()
	owner := c.ownerNow(key)
	if owner == nil {
		c.t.Fatalf("no node has the slot of %q", key)
	}
	return owner
}

func (c *RedisCluster) ownerNow(key string) *RedisServer {
	for _, node := range slices.Concat(c.Nodes, c.replicas) {
		_, err := node.Try("EXISTS", key)
		if err == nil || strings.HasPrefix(err.Error(), "ASK") { // its slot is being moved away
			return node
		}
	}
	return nil
}

// MoveSlot moves the slot of a key, with all keys in it, to another node. It retries until
// that succeeds.
func (c *RedisCluster) MoveSlot(key string) {
	c.t.Helper()
	var err error
	defer func() {
		if err != nil {
			c.t.Log("the slot does not move:", err)
		}
	}()
	Eventually(c.t, fmt.Sprintf("the slot of %q to move", key), func() bool {
		err = c.TryMoveSlot(key)
		return err == nil
	})
}

// MoveSlotTo is like MoveSlot, with the given node as target.
func (c *RedisCluster) MoveSlotTo(to *RedisServer, key string) {
	c.t.Helper()
	c.moving[key] = to
	c.MoveSlot(key)
}

// TryMoveSlot is like MoveSlot, but makes a single attempt and returns an error, for clusters
// whose nodes may not respond or may fail over. Another call continues an incomplete move.
func (c *RedisCluster) TryMoveSlot(key string) error {
	from, to := c.ownerNow(key), c.moving[key]
	if from == nil {
		return fmt.Errorf("no node has the slot of %q", key)
	}
	if to == nil {
		if to = c.Nodes[len(c.Nodes)-1]; to == from {
			to = c.Nodes[len(c.Nodes)-2]
		}
		c.moving[key] = to
	}
	if from != to {
		if err := c.move(key, from, to); err != nil {
			return err
		}
	}
	delete(c.moving, key)
	return nil
}

func (c *RedisCluster) move(key string, from, to *RedisServer) error {
	steps := steps{}
	slot := steps.ask(from, "CLUSTER", "KEYSLOT", key)
	source, target := steps.ask(from, "CLUSTER", "MYID"), steps.ask(to, "CLUSTER", "MYID")
	steps.ask(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", source)
	steps.ask(from, "CLUSTER", "SETSLOT", slot, "MIGRATING", target)
	for steps.err == nil {
		keys := steps.ask(from, "CLUSTER", "GETKEYSINSLOT", slot, "100")
		if keys == "" {
			break
		}
		for key := range strings.SplitSeq(keys, "\n") {
			steps.ask(from, "MIGRATE", "127.0.0.1", port(to.Addr), key, "0", "5000", "REPLACE")
		}
	}
	steps.ask(to, "CLUSTER", "SETSLOT", slot, "NODE", target)
	steps.ask(from, "CLUSTER", "SETSLOT", slot, "NODE", target)
	if steps.err == nil && c.ownerNow(key) != to {
		return fmt.Errorf("the slot of %q has not moved yet", key)
	}
	return steps.err
}

// steps runs commands until one fails, and skips those that follow.
type steps struct{ err error }

func (s *steps) ask(server *RedisServer, command ...string) (said string) {
	if s.err == nil {
		said, s.err = server.Try(command...)
	}
	return said
}

func (s *RedisServer) busPort() string {
	for i, arg := range s.args {
		if arg == "--cluster-port" {
			return s.args[i+1]
		}
	}
	return ""
}
