package broker_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
)

// counted counts refusals by kind.
type counted struct {
	mu    sync.Mutex
	kinds map[string]int
}

func (c *counted) add(kind string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kinds == nil {
		c.kinds = make(map[string]int)
	}
	c.kinds[kind]++
}

func (c *counted) of(kind string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kinds[kind]
}

// logged is a log that can be read while it is written.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) lines(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

// A Redis that refuses what is published is not ready, says why once, and is ready
// again by itself.
func TestRedis_RefusalsFailTheLink(t *testing.T) {
	brokertest.RequireRedis(t)
	for name, start := range map[string]func(testing.TB) (url string, master *brokertest.RedisServer){
		"standalone": func(t testing.TB) (string, *brokertest.RedisServer) {
			server := brokertest.StartRedis(t)
			return server.URL(), server
		},
		"Sentinel": func(t testing.TB) (string, *brokertest.RedisServer) {
			sentinel := brokertest.StartRedisSentinel(t)
			return sentinel.URL(), sentinel.Master()
		},
	} {
		for _, refusal := range refusals {
			t.Run(name+" "+refusal.kind, func(t *testing.T) {
				t.Parallel()
				url, master := start(t)
				mustTellOfRefusal(t, refusal, url, master)
			})
		}
	}
}

// refusal is how a master comes to refuse what is published, and no longer does.
type refusal struct {
	kind     string
	from, to []string
}

var refusals = []refusal{
	{"OOM", []string{"CONFIG", "SET", "maxmemory", "1"}, []string{"CONFIG", "SET", "maxmemory", "0"}},
	{"NOREPLICAS", []string{"CONFIG", "SET", "min-replicas-to-write", "2"}, []string{"CONFIG", "SET", "min-replicas-to-write", "0"}},
	{"NOPERM", []string{"ACL", "SETUSER", "default", "-evalsha", "-eval"}, []string{"ACL", "SETUSER", "default", "+evalsha", "+eval"}},
	{"READONLY", []string{"REPLICAOF", "127.0.0.1", "1"}, []string{"REPLICAOF", "NO", "ONE"}},
}

func mustTellOfRefusal(t *testing.T, r refusal, url string, master *brokertest.RedisServer) {
	t.Helper()
	var log logged
	var kinds counted
	b, told := startNode(t, broker.RedisConfig{URL: url, Log: slog.New(slog.NewTextHandler(&log, nil)),
		Observe: broker.RedisObserver{Refused: kinds.add}})
	told.WaitUp()
	master.CLI(r.from...)
	for range 3 {
		_, err := broker.Publish(t.Context(), b, message("a", "x"), broker.PublishOptions{HistorySize: 5})
		if !errors.Is(err, broker.ErrUnavailable) {
			t.Errorf("Publish: %v", err)
		}
	}
	if err := told.WaitDown(); !strings.Contains(err.Error(), r.kind) && r.kind != "READONLY" {
		t.Errorf("the link is down because of %v", err)
	}
	if kinds.of(r.kind) == 0 || log.lines("kind="+r.kind) != 1 {
		t.Errorf("%d refusals are counted, %d logged", kinds.of(r.kind), log.lines("kind="+r.kind))
	}
	master.CLI(r.to...)
	told.WaitUp()
	publishAfter(t, b, "x") // a Sentinel may have begun to put another in the place of a replica
}

// What is refused on one channel says nothing of the others.
func TestRedis_RefusalOfOneChannel(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	var kinds counted
	b, told := startNode(t, broker.RedisConfig{URL: server.URL(), Observe: broker.RedisObserver{Refused: kinds.add}})
	told.WaitUp()
	server.CLI("SET", "tidegate:odd meta", "no hash")
	if _, err := broker.Publish(t.Context(), b, message("odd", "x"), broker.PublishOptions{HistorySize: 5}); err == nil {
		t.Fatal("published without what it takes")
	}
	if kinds.of("other") == 0 {
		t.Error("the refusal is not counted")
	}
	for i := range 20 {
		if _, err := broker.Publish(t.Context(), b, message(fmt.Sprint("even:", i), "x"), broker.PublishOptions{HistorySize: 5}); err != nil {
			t.Fatal(err)
		}
	}
	if n := told.Told(); n != 1 {
		t.Errorf("%d things are told, want that the link is up", n)
	}
}

// Who may not log in is told so.
func TestRedis_RefusalOfTheLogin(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	server.CLI("CONFIG", "SET", "requirepass", "s3cret")
	var kinds counted
	_, told := startNode(t, broker.RedisConfig{URL: server.URL(), Observe: broker.RedisObserver{Refused: kinds.add}})
	told.WaitDown()
	if kinds.of("NOAUTH") == 0 {
		t.Error("NOAUTH is not counted")
	}
}

// The links of a node that ends close one after the other. That is not a master that is away.
func TestRedis_ClusterIsNotAwayAtTheEnd(t *testing.T) {
	var log logged
	node := newRedis(t, broker.RedisConfig{URL: brokertest.StartRedisCluster(t).URL(), Log: slog.New(slog.NewTextHandler(&log, nil))})
	told, stop := brokertest.RunBroker(t, node)
	told.WaitUp()
	stop()
	if log.lines("level=ERROR") > 0 || log.lines("redis link is closed") != 1 {
		t.Errorf("%d errors are logged, %d times that the link is closed", log.lines("level=ERROR"), log.lines("redis link is closed"))
	}
}

// Redis forgets what has been unsubscribed, though it refused something at the time.
func TestRedis_RefusalLeavesNoSubscriptions(t *testing.T) {
	for name, c := range map[string]struct {
		command string        // which Redis refuses at first
		linger  time.Duration // of the node
		during  func(*testing.T, *broker.Redis)
	}{
		"of an unsubscribe": {"unsubscribe", time.Millisecond, func(*testing.T, *broker.Redis) {}},
		"of a subscribe": {"subscribe", time.Hour, func(t *testing.T, b *broker.Redis) {
			if err := b.Subscribe(t.Context(), "c"); !errors.Is(err, broker.ErrUnavailable) {
				t.Errorf("Subscribe: %v", err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			brokertest.RequireRedis(t)
			server := brokertest.StartRedis(t)
			b, told := startNode(t, broker.RedisConfig{URL: server.URL(), Connections: 1, Linger: c.linger})
			told.WaitUp()
			subscribeAll(t, b, []string{"a", "b"})
			server.CLI("ACL", "SETUSER", "default", "-"+c.command)
			must(t, b.Unsubscribe(t.Context(), "a"))
			c.during(t, b)
			brokertest.Eventually(t, "a refusal", func() bool {
				_, rest, _ := strings.Cut(server.CLI("INFO", "commandstats"), "cmdstat_"+c.command+":")
				line, _, _ := strings.Cut(rest, "\n")
				return strings.Contains(line, "rejected_calls=") && !strings.Contains(line, "rejected_calls=0")
			})
			server.CLI("ACL", "SETUSER", "default", "+"+c.command)
			brokertest.Eventually(t, "nobody to be subscribed to what was left", func() bool {
				return server.CLI("PUBSUB", "CHANNELS") == b.RedisName("b")
			})
			told.WaitUp()
			mustDeliver(t, b, told, []string{"b"})
		})
	}
}
