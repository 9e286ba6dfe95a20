package broker_test

import (
	"fmt"
	"strings"
	"testing"

	"tidegate/broker"
	"tidegate/broker/brokertest"
)

// A process that has taken over what another one had may have forgotten that it ever
// followed one: its backlog is gone, and the replication id from before with it. It does
// not take a node that knew it before to see that.
func TestEpoch_EndsThoughTheBacklogIsGone(t *testing.T) {
	brokertest.RequireRedis(t)
	for _, load := range []string{"disabled", "swapdb"} { // through a file, and without one
		for _, newNode := range []bool{false, true} {
			t.Run(fmt.Sprintf("load %s, a new node %v", load, newNode), func(t *testing.T) {
				t.Parallel()
				server := brokertest.StartRedis(t, "--repl-diskless-load", load)
				b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
				told.WaitUp()
				forgotten := loseByFollowing(t, b, told, server)
				freeBacklog(t, server)
				if newNode {
					b, told = startNode(t, broker.RedisConfig{URL: server.URL()})
					told.WaitUp()
				}
				mustHaveEnded(t, b, server, forgotten)
			})
		}
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

// A process that has begun with older data is known by its run_id alone where no node
// lives that knew the one before: neither by a node that is new, nor by the script of a
// backend is an epoch taken up again.
func TestEpoch_EndsByTheProcessAlone(t *testing.T) {
	brokertest.RequireRedis(t)
	for name, first := range map[string]func(t *testing.T, server *brokertest.RedisServer, b *broker.Redis) broker.Position{
		"a new node is the first to publish": func(t *testing.T, server *brokertest.RedisServer, _ *broker.Redis) broker.Position {
			b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
			told.WaitUp()
			return publishAfter(t, b, "of a new node")
		},
		"a backend is": func(_ *testing.T, server *brokertest.RedisServer, names *broker.Redis) broker.Position {
			name := names.RedisName("a")
			at, _ := broker.ParsePosition(server.CLI("EVAL", broker.AppendScript, "2", name, name+" meta", "of a backend", "10"))
			return at
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := brokertest.StartRedis(t)
			b := newRedis(t, broker.RedisConfig{URL: server.URL()})
			told, end := brokertest.RunBroker(t, b)
			told.WaitUp()
			publish(t, b, "1")
			server.CLI("SAVE")
			forgotten := publish(t, b, "2")
			end()
			server.Stop()
			server.Start()
			if n := server.CLI("XLEN", b.RedisName("a")); n != "1" {
				t.Fatalf("Redis has %s messages of before, want that which was saved", n)
			}
			if at := first(t, server, b); at.Epoch == forgotten.Epoch || at.Offset != forgotten.Offset {
				t.Errorf("%v came after %v, which is forgotten", at, forgotten)
			}
			b, told = startNode(t, broker.RedisConfig{URL: server.URL()})
			told.WaitUp()
			mustHaveEnded(t, b, server, forgotten)
		})
	}
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

// What was there once comes back, and takes the place of what came meanwhile, in a process
// that has been a master all the time.
func TestEpoch_EndsWhenFormerDataComesBack(t *testing.T) {
	brokertest.RequireRedis(t)
	swap := func(server *brokertest.RedisServer) { server.CLI("SWAPDB", "0", "1") }
	for name, happens := range map[string]func(*testing.T, *brokertest.RedisServer) (comeBack func()){
		"SWAPDB there and back": func(_ *testing.T, server *brokertest.RedisServer) func() {
			swap(server)
			return func() { swap(server) }
		},
		"FLUSHALL, and a backup is written back": func(t *testing.T, server *brokertest.RedisServer) func() {
			backup := make(map[string]string)
			for key := range strings.Lines(server.CLI("KEYS", "*")) {
				key = strings.TrimSuffix(key, "\n")
				backup[key] = server.CLI("DUMP", key)
			}
			server.Flush()
			return func() {
				server.Flush()
				for key, value := range backup {
					server.CLI("RESTORE", key, "0", value)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := brokertest.StartRedis(t)
			b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
			told.WaitUp()
			first := publish(t, b, "1", "2")
			comeBack := happens(t, server)
			meanwhile := publish(t, b, "meanwhile")
			if meanwhile.Epoch == first.Epoch {
				t.Fatalf("%v came after %v", meanwhile, first)
			}
			comeBack()
			if tops, err := b.Tops(t.Context(), []string{"a"}); err != nil || tops[0].Epoch != first.Epoch {
				t.Fatalf("the data of then is at %v: %v", tops, err)
			}
			after := publish(t, b, "3")
			if after.Epoch == first.Epoch || after.Epoch == meanwhile.Epoch {
				t.Errorf("%v came after %v, and %v before: an epoch was taken up again", after, meanwhile, first)
			}
			for _, cursor := range []broker.Position{first, meanwhile} {
				if payloads, page := since(t, b, cursor); !page.Lost {
					t.Errorf("since %v: %q, %+v", cursor, payloads, page)
				}
			}
			if again := publish(t, b, "4"); again.Epoch != after.Epoch {
				t.Errorf("%v came after %v: the epoch has ended once more", again, after)
			}
		})
	}
}
