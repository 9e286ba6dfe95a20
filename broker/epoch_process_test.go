package broker_test

import (
	"strings"
	"testing"

	"tidegate/broker"
	"tidegate/broker/brokertest"
)

// A process that has taken over what another one had may have forgotten that it ever
// followed one: its backlog is gone, and the replication id from before with it.
func TestEpoch_EndsThoughTheBacklogIsGone(t *testing.T) {
	brokertest.RequireRedis(t)
	for _, load := range []string{"disabled", "swapdb"} { // through a file, and without one
		t.Run(load, func(t *testing.T) {
			t.Parallel()
			server := brokertest.StartRedis(t, "--repl-diskless-load", load)
			b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
			told.WaitUp()
			forgotten := loseByFollowing(t, b, told, server)
			freeBacklog(t, server)
			mustHaveEnded(t, b, server, forgotten)
		})
	}
}

// freeBacklog has a master forget what it was before, as it does by itself an hour after
// its last replica has left.
func freeBacklog(t *testing.T, server *brokertest.RedisServer) {
	t.Helper()
	id := fieldOfInfo(server, "master_replid")
	server.CLI("CONFIG", "SET", "repl-backlog-ttl", "1")
	brokertest.Eventually(t, "the backlog to be gone", func() bool {
		return fieldOfInfo(server, "master_replid") != id && fieldOfInfo(server, "repl_backlog_active") == "0"
	})
	if before := fieldOfInfo(server, "master_replid2"); strings.Trim(before, "0") != "" {
		t.Fatalf("Redis still knows that it was %s before", before)
	}
}

func fieldOfInfo(server *brokertest.RedisServer, name string) string {
	_, rest, _ := strings.Cut(server.CLI("INFO", "replication"), name+":")
	value, _, _ := strings.Cut(rest, "\r\n")
	return value
}

// What gives a process another replication id, and takes nothing from it, ends no epoch:
// neither where it has always been a master, nor where it was a replica once.
func TestEpoch_OutlivesWhatForgetsNothing(t *testing.T) {
	brokertest.RequireRedis(t)
	for name, happens := range map[string]func(t *testing.T, server *brokertest.RedisServer){
		"its last replica has left for long": func(t *testing.T, server *brokertest.RedisServer) {
			follow(t, server).Stop()
			freeBacklog(t, server)
		},
		"the next first replica comes": func(t *testing.T, server *brokertest.RedisServer) {
			follow(t, server).Stop()
			freeBacklog(t, server)
			follow(t, server)
		},
		"FAILOVER is given up": func(t *testing.T, server *brokertest.RedisServer) {
			replica := follow(t, server)
			replica.Pause()
			defer replica.Resume()
			host, port, _ := strings.Cut(replica.Addr, ":")
			server.CLI("FAILOVER", "TO", host, port, "FORCE", "TIMEOUT", "1")
			brokertest.Eventually(t, "the master to give up its place", func() bool {
				return fieldOfInfo(server, "role") == "slave"
			})
			server.CLI("FAILOVER", "ABORT")
		},
		"its statistics are reset": func(_ *testing.T, server *brokertest.RedisServer) {
			server.CLI("CONFIG", "RESETSTAT")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			always, once := brokertest.StartRedis(t), brokertest.StartRedis(t)
			once.CLI("REPLICAOF", "127.0.0.1", strings.TrimPrefix(always.Addr, "127.0.0.1:"))
			brokertest.Eventually(t, "the replica to follow", func() bool {
				return fieldOfInfo(once, "master_link_status") == "up"
			})
			once.CLI("REPLICAOF", "NO", "ONE")
			for _, server := range []*brokertest.RedisServer{always, once} {
				b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
				told.WaitUp()
				before := publish(t, b, "1")
				happens(t, server)
				if after := publishAfter(t, b, "2"); after.Epoch != before.Epoch || after.Offset != 2 {
					t.Errorf("%v came after %v", after, before)
				}
			}
		})
	}
}
