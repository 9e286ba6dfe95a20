package simredis_test

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"tidegate/broker"
	"tidegate/broker/brokertest"
	"tidegate/broker/simredis"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The broker passes the conformance suite on the model as on a real Redis. In virtual time, a
// slow machine does no harm.
func TestServer_PassesTheBrokersConformance(t *testing.T) {
	brokertest.RunIn(t, synctest.Test, func(t *testing.T) brokertest.Subject {
		servers := simredis.New(1)
		t.Cleanup(servers.Close)
		server := servers.Start("redis:6379")
		var nodes []brokertest.Node
		for i := range 2 {
			b, err := broker.NewRedis(broker.RedisConfig{
				URL: "redis://" + server.Address, Dial: servers.NewWay(uint64(i), 0).Dial, Connections: 1 + i,
				Linger: 10 * time.Millisecond, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
			})
			if err != nil {
				t.Fatal(err)
			}
			nodes = append(nodes, brokertest.Node{Broker: b, History: b, Presence: b, Register: b})
		}
		return brokertest.Subject{
			Nodes:       nodes,
			PublishBare: func(channel, payload string) { server.Do("PUBLISH", "tidegate:"+channel, payload) },
			Forget: func(do func()) {
				before := server.Mark()
				do()
				server.StartFrom(before)
			},
		}
	})
}

func TestServers_FailOverToAnotherServerAtTheAddress(t *testing.T) {
	servers := simredis.New(1)
	t.Cleanup(servers.Close)
	former := servers.Start("redis:6379")
	for _, key := range []string{"a", "b", "c"} {
		former.Do("SET", key, "1")
	}
	servers.FailOver("redis:6379", 1)
	if answer := former.Do("SET", "d", "1"); !strings.HasPrefix(answer, "-READONLY") {
		t.Errorf("the former master answers %q to a write", answer)
	}
	if answer := servers.At("redis:6379").Do("EXISTS", "a", "b", "c", "d"); answer != ":2\r\n" {
		t.Errorf("of a and b, which are to be there, and c and d the new master has %q", answer)
	}
}

// As in Redis, a script that has begun to write is not refused halfway.
func TestServer_RefusesAScriptAtItsFirstWriteAlone(t *testing.T) {
	servers := simredis.New(1)
	t.Cleanup(servers.Close)
	server := servers.Start("redis:6379")
	server.Do("SET", "old", "1")
	server.Refuse("OOM command not allowed when used memory > 'maxmemory'.")
	if answer := server.Do("EVAL", "redis.call('SET', 'new', '1') return 1", "0"); !strings.HasPrefix(answer, "-OOM") {
		t.Errorf("a full Redis answers %q to a script that writes", answer)
	}
	if answer := server.Do("EVAL", "redis.call('DEL', 'old') redis.call('SET', 'new', '1') return 1", "0"); answer != ":1\r\n" {
		t.Errorf("a full Redis answers %q to a script that has made room", answer)
	}
}

// After a restart with all data, keys keep their remaining time to live.
func TestServer_KeysOutliveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers := simredis.New(1)
		defer servers.Close()
		server := servers.Start("redis:6379")
		server.Do("SET", "short", "a", "PX", "30000")
		server.Do("EVAL", "redis.call('SET', KEYS[1], 'b', 'PX', 90000) return redis.call('SET', KEYS[2], 'c')", "2", "long", "ever")
		for _, want := range []string{"short 10000 long 70000 ever -1", "short -2 long 50000 ever -1", "short -2 long 30000 ever -1"} {
			time.Sleep(20 * time.Second)
			server.StartFrom(server.Mark())
			var got []string
			for _, key := range []string{"short", "long", "ever"} {
				got = append(got, key, strings.Trim(server.Do("PTTL", key), ":\r\n"))
			}
			if strings.Join(got, " ") != want {
				t.Errorf("they last %q, want %q", got, want)
			}
		}
	})
}

// If the clock of Redis goes back, members of dead nodes and lingering members still leave
// within a lease.
func TestServer_ClockThatGoesBackKeepsNobodyPresent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers := simredis.New(1)
		t.Cleanup(servers.Close)
		server := servers.Start("redis:6379")
		b, err := broker.NewRedis(broker.RedisConfig{
			URL: "redis://" + server.Address, Dial: servers.NewWay(1, 0).Dial, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		told, _ := brokertest.RunBroker(t, b)
		told.WaitUp()
		const lease = 30 * time.Second
		attend := func(node string, version, after uint64, members ...broker.Member) {
			t.Helper()
			sessions := 0
			for _, m := range members {
				sessions += m.Sessions
			}
			taken, err := b.Attend(t.Context(), broker.Attendant{Node: node, Lease: lease, Linger: 5 * time.Second}, []broker.Attendance{
				{Channel: "a", Version: version, After: after, Sessions: sessions, Members: members}})
			if err != nil || !taken[0] {
				t.Fatalf("%s: %v, %v", node, taken, err)
			}
		}
		server.SetClock(time.Hour)
		attend("dying", 1, 0, broker.Member{User: "alice", Sessions: 1})
		attend("lives", 1, 0, broker.Member{User: "bob", Sessions: 1}, broker.Member{User: "carol", Sessions: 1})
		attend("lives", 2, 1, broker.Member{User: "bob"}, broker.Member{User: "carol", Sessions: 1})
		server.SetClock(0)
		for version := range uint64(9) {
			if _, err := b.Keep(t.Context(), broker.Attendant{Node: "lives", Lease: lease, Linger: 5 * time.Second}, 3+version); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Second)
		}
		roster, err := b.Members(t.Context(), "a")
		if err != nil || len(roster.Members) != 1 || roster.Members[0].User != "carol" || roster.Sessions != 1 {
			t.Errorf("present are %+v, %v, want carol alone", roster, err)
		}
	})
}
