package broker_test

import (
	"bytes"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

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
	if n := calls(server, "info"); n > 2*3 { // for the connection that publishes, which may have to be a new one, and for that which reads
		t.Errorf("Redis is asked %d times who it is", n)
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
	// The other node finds the epoch ended, and does not end it again, unless the machine is
	// so busy that it does not see in time who is master: it has some attempts.
	for range 8 {
		var at broker.Position
		brokertest.Eventually(t, "the other node to publish at the first", func() bool {
			var err error
			at, err = broker.Publish(t.Context(), other, message("a", "of the other"), kept)
			return err == nil && at.Epoch != atSecond.Epoch
		})
		if at.Epoch == again.Epoch {
			return
		}
		atSecond, again = move(second, "at the second"), move(first, "at the first again")
	}
	t.Error("at each attempt the other node has ended the epoch, too")
}

// The same behind one address, and the clock of the first has gone back meanwhile: its
// era seems to have just begun.
func TestEpoch_EndsWhenAMasterIsThereAnewWhateverItsClockSays(t *testing.T) {
	brokertest.RequireRedis(t)
	server, other := brokertest.StartRedis(t), brokertest.StartRedis(t)
	way := brokertest.LayWay(t, server.Addr)
	b, told := startNode(t, broker.RedisConfig{URL: "redis://" + way.Addr})
	told.WaitUp()
	first := publish(t, b, "1")
	server.CLI("HSET", broker.DefaultPrefix+" history", "since", strconv.FormatInt(time.Now().Add(time.Hour).UnixMilli(), 10))
	for _, to := range []*brokertest.RedisServer{other, server} {
		way.Lead(to.Addr)
		way.Cut()
		brokertest.Eventually(t, "a message at the other server", func() bool {
			_, err := broker.Publish(t.Context(), b, message("a", "x"), kept)
			return err == nil && to.CLI("XLEN", b.RedisName("a")) != "0"
		})
	}
	if after := publish(t, b, "y"); after.Epoch == first.Epoch {
		t.Errorf("%v came after %v, and another master between", after, first)
	}
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

// A slot that is moved takes all that belongs to it along: nothing is lost, and nobody is
// told that something is.
func TestEpoch_OutlivesASlotThatMoves(t *testing.T) {
	t.Parallel()
	cluster := brokertest.StartRedisCluster(t)
	cluster.AwaitAge(oldEnough)
	mustOutlive(t, cluster, func(name string) { cluster.MoveSlot(name) })
}

// mustOutlive holds two nodes to it that what happens ends no epoch, and loses no cursor.
// Where a machine is so busy that they do not see it in time, they may end it: they have
// some attempts.
func mustOutlive(t *testing.T, cluster *brokertest.RedisCluster, happens func(name string)) {
	t.Helper()
	b, told := startNode(t, broker.RedisConfig{URL: cluster.URL()})
	other, otherTold := startNode(t, broker.RedisConfig{URL: cluster.URL()})
	told.WaitUp()
	otherTold.WaitUp()
	var before, after broker.Position
	for range 8 {
		before = publishAfter(t, b, "x")
		publishAfter(t, other, "y")
		happens(b.RedisName("a"))
		publishAfter(t, b, "z")
		if after = publishAfter(t, other, "last"); after.Epoch == before.Epoch {
			break
		}
	}
	if after.Epoch != before.Epoch || after.Offset < before.Offset+3 {
		t.Fatalf("%v came after %v", after, before)
	}
	if payloads, page := since(t, other, before); page.Lost || payloads[len(payloads)-1] != "last" {
		t.Errorf("since %v: %q, %+v", before, payloads, page)
	}
}

// oldEnough is a master of which a node believes that it has lost nothing of late.
const oldEnough = 9 * time.Second

// publishAfter publishes once Redis, of which something has changed, can be used again.
func publishAfter(t *testing.T, b *broker.Redis, payload string) (at broker.Position) {
	t.Helper()
	brokertest.Eventually(t, "a message to be confirmed", func() bool {
		var err error
		at, err = broker.Publish(t.Context(), b, message("a", payload), kept)
		return err == nil
	})
	return at
}

// A replica has taken over before the slot moved: what it moved is what the replica had.
func TestEpoch_EndsWhenASlotComesFromWhoTookOver(t *testing.T) {
	t.Parallel()
	cluster := brokertest.StartRedisCluster(t)
	b, told := startNode(t, broker.RedisConfig{URL: cluster.URL()})
	told.WaitUp()
	channel := b.RedisName("a")
	former := cluster.Owner(channel)
	replica := cluster.AddReplica(former)
	cluster.AwaitAge(oldEnough)
	first := publishAfter(t, b, "1")
	_, page := since(t, b, broker.Position{})
	nothing := page.Former
	cluster.TakeOver(replica)
	brokertest.Eventually(t, "the former master to follow", func() bool {
		return strings.Contains(former.CLI("INFO", "replication"), "role:slave")
	})
	for _, node := range cluster.Nodes {
		if node != former {
			cluster.MoveSlotTo(node, channel)
			break
		}
	}
	second := publishAfter(t, b, "2")
	if second.Epoch == first.Epoch {
		t.Errorf("%v came after %v", second, first)
	}
	for _, cursor := range []broker.Position{first, nothing} {
		if payloads, page := since(t, b, cursor); !page.Lost {
			t.Errorf("since %v: %q, %+v", cursor, payloads, page)
		}
	}
}

// A replica that takes over as planned has all.
func TestEpoch_OutlivesAPlannedTakeover(t *testing.T) {
	t.Parallel()
	cluster := brokertest.StartRedisCluster(t)
	names := newRedis(t, broker.RedisConfig{URL: cluster.URL()})
	takes, former := cluster.AddReplica(cluster.Owner(names.RedisName("a"))), cluster.Owner(names.RedisName("a"))
	mustOutlive(t, cluster, func(string) {
		cluster.TakeOver(takes)
		takes, former = former, takes
	})
}

// One that takes over by need has not, though the former master follows it later.
func TestEpoch_EndsWhenAReplicaTakesOverThatHadNotAll(t *testing.T) {
	t.Parallel()
	cluster := brokertest.StartRedisCluster(t)
	b, told := startNode(t, broker.RedisConfig{URL: cluster.URL()})
	told.WaitUp()
	name := b.RedisName("a")
	former := cluster.Owner(name)
	replica := cluster.AddReplica(former)
	publish(t, b, "1")
	brokertest.Eventually(t, "the replica to have it", func() bool {
		return strings.Contains(replica.CLI("CLUSTER", "COUNTKEYSINSLOT", former.CLI("CLUSTER", "KEYSLOT", name)), "3")
	})
	replica.Pause()
	former.CLI("CLIENT", "KILL", "TYPE", "replica")
	forgotten := publish(t, b, "2")
	former.Pause()
	replica.Resume()
	replica.CLI("CLUSTER", "FAILOVER", "TAKEOVER")
	former.Resume()
	brokertest.Eventually(t, "the former master to follow", func() bool {
		return strings.Contains(former.CLI("INFO", "replication"), "master_link_status:up")
	})
	after := publishAfter(t, b, "another 2")
	if after.Epoch == forgotten.Epoch {
		t.Errorf("%v came after %v, which is forgotten", after, forgotten)
	}
	if payloads, page := since(t, b, forgotten); !page.Lost {
		t.Errorf("since %v: %q, %+v", forgotten, payloads, page)
	}
}

// A master follows another one for a moment, has what that has, and is a master again:
// the same process, behind the same address.
func TestEpoch_EndsWhenTheMasterHasFollowedAnother(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
	told.WaitUp()
	forgotten := loseByFollowing(t, b, told, server)
	mustHaveEnded(t, b, server, forgotten)
}

// loseByFollowing has a server take over what a former replica had, and be a master again.
// It returns the position of a message that is forgotten by that.
func loseByFollowing(t *testing.T, b *broker.Redis, told *brokertest.Recorder, server *brokertest.RedisServer) (forgotten broker.Position) {
	t.Helper()
	first := publish(t, b, "1", "2")
	other := follow(t, server)
	if second := publish(t, b, "of the replica, too"); second.Epoch != first.Epoch {
		t.Errorf("the first replica has ended the epoch: %v came after %v", second, first)
	}
	brokertest.Eventually(t, "the replica to have it", func() bool { return other.CLI("XLEN", b.RedisName("a")) == "3" })
	other.CLI("REPLICAOF", "NO", "ONE")
	forgotten = publish(t, b, "4")
	host, port, _ := strings.Cut(other.Addr, ":")
	server.CLI("REPLICAOF", host, port)
	told.WaitDown()
	other.CLI("CONFIG", "SET", "repl-diskless-sync-delay", "0")
	brokertest.Eventually(t, "the former master to have what the other has", func() bool {
		n, err := server.Try("XLEN", b.RedisName("a"))
		return err == nil && n == "3" && strings.Contains(server.CLI("INFO", "replication"), "master_link_status:up")
	})
	server.CLI("REPLICAOF", "NO", "ONE")
	return forgotten
}

// mustHaveEnded holds a node, and the script of backends, to it that the epoch of a
// position is over.
func mustHaveEnded(t *testing.T, b *broker.Redis, server *brokertest.RedisServer, forgotten broker.Position) {
	t.Helper()
	after := publishAfter(t, b, "another")
	if after.Epoch == forgotten.Epoch {
		t.Errorf("%v is confirmed twice: it was of a message that is forgotten", after)
	}
	if payloads, page := since(t, b, forgotten); !page.Lost {
		t.Errorf("since %v, which is forgotten: %q, %+v", forgotten, payloads, page)
	}
	name := b.RedisName("a")
	said := server.CLI("EVAL", broker.AppendScript, "2", name, name+" meta", "of a backend", "10")
	if at, _ := broker.ParsePosition(said); at.Epoch != after.Epoch {
		t.Errorf("a backend's message is at %v, and came after %v", at, after)
	}
}

// Who followed nobody has what it had.
func TestEpoch_OutlivesADemotionThatChangedNothing(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
	told.WaitUp()
	first := publish(t, b, "1")
	for _, payload := range []string{"2", "3"} {
		server.CLI("REPLICAOF", "127.0.0.1", "1")
		told.WaitDown()
		server.CLI("REPLICAOF", "NO", "ONE")
		told.WaitUp()
		if at := publishAfter(t, b, payload); at.Epoch != first.Epoch {
			t.Errorf("%v came after %v", at, first)
		}
	}
}
