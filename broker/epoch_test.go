package broker_test

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"tidegate/broker"
	"tidegate/broker/brokertest"
)

// Nothing is forgotten by what changes a replication id, but not the process.
func TestEpoch_OutlivesReplicasAndBackups(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
	told.WaitUp()
	first := publish(t, b, "1")
	follow(t, server)
	server.CLI("BGSAVE")
	server.CLI("CONFIG", "RESETSTAT")
	second := publish(t, b, "2")
	if second.Epoch != first.Epoch {
		t.Errorf("the epoch of %v ended by a replica and a backup: %v", first, second)
	}
	if payloads, page := since(t, b, first); page.Lost || !slices.Equal(payloads, []string{"2"}) {
		t.Errorf("since %v: %q, %+v", first, payloads, page)
	}
	if stats := server.CLI("INFO", "commandstats"); strings.Contains(stats, "cmdstat_info:calls=2,") {
		t.Errorf("Redis is asked who it is with each message:\n%s", stats)
	}
}

// follow starts a replica of the server, and waits until it has all.
func follow(t *testing.T, server *brokertest.RedisServer) (replica *brokertest.RedisServer) {
	t.Helper()
	server.CLI("CONFIG", "SET", "repl-diskless-sync-delay", "0")
	host, port, _ := strings.Cut(server.Addr, ":")
	replica = brokertest.StartRedis(t, "--replicaof", host+" "+port)
	brokertest.Eventually(t, "the replica to follow", func() bool {
		return strings.Contains(replica.CLI("INFO", "replication"), "master_link_status:up") &&
			strings.Contains(server.CLI("INFO", "replication"), "state=online")
	})
	return replica
}

// Sentinel names A, then B, then A again, which has run all the time and has nothing
// of what was confirmed at B: neither its run_id nor its replication id tells.
func TestEpoch_EndsWhenAMasterIsNamedAnew(t *testing.T) {
	sentinel := brokertest.StartRedisSentinel(t)
	b, told := startNode(t, broker.RedisConfig{URL: sentinel.URL()})
	other, otherTold := startNode(t, broker.RedisConfig{URL: sentinel.URL()})
	told.WaitUp()
	otherTold.WaitUp()
	first := sentinel.Master()
	second := sentinel.Servers[0]
	if second == first {
		second = sentinel.Servers[1]
	}
	third := publish(t, b, "1", "2", "3")
	publish(t, other, "4")
	brokertest.Eventually(t, "the replica to have all", func() bool {
		return second.CLI("XLEN", b.RedisName("a")) == "4"
	})
	move := func(to *brokertest.RedisServer, payload string) (at broker.Position) {
		t.Helper()
		sentinel.Name(to)
		brokertest.Eventually(t, "a message at the new master", func() (done bool) {
			var err error
			at, err = broker.Publish(t.Context(), b, message("a", payload), kept)
			return err == nil && strings.Contains(to.CLI("XRANGE", b.RedisName("a"), "-", "+"), payload)
		})
		return at
	}
	atSecond := move(second, "at the second")
	again := move(first, "at the first again")
	if again.Epoch == third.Epoch || again.Epoch == atSecond.Epoch {
		t.Errorf("positions %v, then %v, then %v: an epoch was taken up again", third, atSecond, again)
	}
	for _, cursor := range []broker.Position{third, atSecond} {
		brokertest.Eventually(t, "the history to be read", func() bool {
			page, err := b.Since(t.Context(), "a", cursor, broker.Most{})
			if err == nil && !page.Lost {
				t.Errorf("since %v: %+v, and nothing is said to be lost", cursor, page)
			}
			return err == nil
		})
	}
	// The other node finds the epoch ended, and does not end it again.
	brokertest.Eventually(t, "the other node to publish", func() bool {
		at, err := broker.Publish(t.Context(), other, message("a", "of the other"), kept)
		return err == nil && at.Epoch == again.Epoch
	})
}

// records is what a log has been told.
type records struct {
	mu sync.Mutex
	bytes.Buffer
}

func (r *records) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.Buffer.Write(p)
}

func (r *records) count(text string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Count(r.String(), text)
}

// Where Redis does not say which process it is, a lost link is all there is to go by.
func TestEpoch_EndsWithoutInfo(t *testing.T) {
	brokertest.RequireRedis(t)
	for name, arguments := range map[string][]string{
		"denied":  {"--user", "limited", "on", ">secret", "~*", "&*", "+@all", "-info"},
		"renamed": {"--rename-command", "INFO", "HIDDEN", "--user", "limited", "on", ">secret", "~*", "&*", "+@all"},
	} {
		t.Run(name, func(t *testing.T) {
			server := brokertest.StartRedis(t, arguments...)
			var log records
			b, told := startNode(t, broker.RedisConfig{
				URL: "redis://limited:secret@" + server.Addr, Log: slog.New(slog.NewTextHandler(&log, nil)),
			})
			told.WaitUp()
			early := publish(t, b, "1")
			server.CLI("SAVE")
			forgotten := publish(t, b, "2")
			if forgotten.Epoch != early.Epoch {
				t.Errorf("%v came after %v, though the link was not lost", forgotten, early)
			}
			server.Stop()
			told.WaitDown()
			server.Start()
			told.WaitUp()
			if payloads, page := since(t, b, forgotten); !page.Lost {
				t.Errorf("since %v, which Redis has forgotten: %q, %+v", forgotten, payloads, page)
			}
			after := publish(t, b, "new 2", "new 3")
			if after.Epoch == forgotten.Epoch {
				t.Errorf("%v after the restart has the epoch of %v", after, forgotten)
			}
			if payloads, page := since(t, b, early); !page.Lost || !slices.Equal(payloads, []string{"new 2", "new 3"}) {
				t.Errorf("since %v: %q, %+v; want lost", early, payloads, page)
			}
			if n := log.count("each lost link counts"); n != 1 {
				t.Errorf("the log says %d times that Redis does not tell who it is", n)
			}
		})
	}
}

// A slot's keys move to another process with all that belongs to them: who knows the
// new one only as such must take it for one that may have forgotten.
func TestEpoch_EndsWhenASlotMoves(t *testing.T) {
	cluster := brokertest.StartRedisCluster(t)
	b, told := startNode(t, broker.RedisConfig{URL: cluster.URL()})
	told.WaitUp()
	first := publish(t, b, "1")
	_, page := since(t, b, broker.Position{})
	nothing := page.Former
	cluster.MoveSlot(b.RedisName("a"))
	var second broker.Position
	brokertest.Eventually(t, "a message after the move", func() (moved bool) {
		var err error
		second, err = broker.Publish(t.Context(), b, message("a", "2"), kept)
		return err == nil
	})
	if second.Epoch == first.Epoch || second.Offset != 2 {
		t.Errorf("%v came after %v", second, first)
	}
	for _, cursor := range []broker.Position{first, nothing} {
		if payloads, page := since(t, b, cursor); !page.Lost {
			t.Errorf("since %v: %q, %+v", cursor, payloads, page)
		}
	}
}
