package brokertest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// RedisSentinel is a master and a replica with a Sentinel that monitors them, private to a
// test.
type RedisSentinel struct {
	Servers  [2]*RedisServer // the first is the master at the start
	Sentinel *RedisServer

	t testing.TB
}

// StartRedisSentinel starts a master, a replica and a Sentinel, and stops them when the test
// ends. It needs redis-server; see RequireRedis.
func StartRedisSentinel(t testing.TB) *RedisSentinel {
	t.Helper()
	master := startWatched(t, "")
	replica := startWatched(t, "replicaof 127.0.0.1 "+port(master.Addr))
	s := &RedisSentinel{Servers: [2]*RedisServer{master, replica}, t: t}
	Eventually(t, "the replica to follow", func() bool {
		return strings.Contains(replica.CLI("INFO", "replication"), "master_link_status:up")
	})

	address := FreeAddress(t)
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("port %s\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 %s 1\n"+
		"sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 5000\n",
		port(address), port(master.Addr))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Sentinel = &RedisServer{Addr: address, t: t, args: []string{file, "--sentinel"}}
	t.Cleanup(s.Sentinel.Stop)
	s.Sentinel.Start()
	Eventually(t, "the Sentinel to know the replica", func() bool {
		return strings.Contains(s.Sentinel.CLI("SENTINEL", "REPLICAS", "main"), replica.Addr)
	})
	return s
}

// startWatched starts a server with a configuration file, in which Sentinels save the
// server's role, so that it keeps the role after a restart.
func startWatched(t testing.TB, role string) *RedisServer {
	t.Helper()
	s := newRedisServer(t)
	file := filepath.Join(s.Dir, "redis.conf")
	if err := os.WriteFile(file, []byte("repl-diskless-sync-delay 0\n"+role+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.args = append([]string{file}, s.args...)
	s.Start()
	return s
}

// URL returns the URL of the Sentinel for a broker.
func (s *RedisSentinel) URL() string {
	return "redis+sentinel://" + s.Sentinel.Addr + "/main"
}

// Master returns the server that the Sentinel considers the master.
func (s *RedisSentinel) Master() *RedisServer {
	s.t.Helper()
	answer := strings.Fields(s.Sentinel.CLI("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main"))
	for _, server := range s.Servers {
		if len(answer) == 2 && answer[1] == port(server.Addr) {
			return server
		}
	}
	s.t.Fatalf("the Sentinel knows no master: %q", answer)
	return nil
}

// Flush removes all keys from the master.
func (s *RedisSentinel) Flush() { s.Master().Flush() }

// Name makes the Sentinel consider a server the master, and promotes the server if it is a
// replica. The former master is not told.
func (s *RedisSentinel) Name(server *RedisServer) {
	s.t.Helper()
	s.Sentinel.CLI("SENTINEL", "REMOVE", "main") // first, because a Sentinel demotes a master that it did not promote
	server.CLI("REPLICAOF", "NO", "ONE")
	s.Sentinel.CLI("SENTINEL", "MONITOR", "main", "127.0.0.1", port(server.Addr), "1")
}
