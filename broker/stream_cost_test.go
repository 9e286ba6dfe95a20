package broker_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
)

// sent returns how many bytes the server has sent so far.
func sent(t *testing.T, server *brokertest.RedisServer) int {
	t.Helper()
	return number(t, server, "stats", "total_net_output_bytes:")
}

// scriptsRun returns how many scripts the server has run by their hash so far.
func scriptsRun(t *testing.T, server *brokertest.RedisServer) int {
	t.Helper()
	return number(t, server, "commandstats", "cmdstat_evalsha:calls=")
}

// number returns the number that follows what in a section of what the server tells.
func number(t *testing.T, server *brokertest.RedisServer, section, what string) int {
	t.Helper()
	_, rest, _ := strings.Cut(server.CLI("INFO", section), what)
	var n int
	if _, err := fmt.Sscanf(rest, "%d", &n); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return n
}

func TestHistory_PageCostsWhatItReturns(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
	told.WaitUp()
	long := strings.Repeat("x", 64<<10)
	for range 200 {
		if _, err := broker.Publish(t.Context(), b, message("a", long), broker.PublishOptions{HistorySize: 1000}); err != nil {
			t.Fatal(err)
		}
	}
	most := broker.Most{Messages: 1000, Bytes: 256 << 10}
	for name, read := range map[string]func() (broker.Page, error){
		"since":  func() (broker.Page, error) { return b.Since(t.Context(), "a", broker.Position{}, most) },
		"latest": func() (broker.Page, error) { return b.Latest(t.Context(), "a", most) },
	} {
		before := sent(t, server)
		page, err := read()
		if err != nil || len(page.Messages) != 3 {
			t.Errorf("%s: %d messages, %v; want the 3 that are within %d bytes", name, len(page.Messages), err, most.Bytes)
		}
		if cost := sent(t, server) - before; cost > 2*most.Bytes {
			t.Errorf("%s: Redis sent %d bytes for a page of %d at most", name, cost, most.Bytes)
		}
	}
}

// A read removes what has expired without looking at each message: others have to wait for it.
func TestHistory_ReadAfterManyHaveExpiredCostsLittle(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
	told.WaitUp()
	o := broker.PublishOptions{HistorySize: 1_000_000, HistoryTTL: time.Hour}
	publish := func() {
		if _, err := broker.Publish(t.Context(), b, message("a", "young"), o); err != nil {
			t.Fatal(err)
		}
	}
	publish()
	server.CLI("EVAL", `redis.call('DEL', KEYS[1])
for i = 2, 20001 do redis.call('XADD', KEYS[1], '0-' .. i, 'time', 1, 'message', 'TG1 {}\nold') end
redis.call('HSET', KEYS[2], 'top', 20001)`, "2", "tidegate:a", "tidegate:a meta")
	publish()
	publish()
	looks := func() int { return number(t, server, "commandstats", "cmdstat_xrange:calls=") }
	if page, err := b.Since(t.Context(), "a", broker.Position{}, broker.Most{Messages: 10}); err != nil || len(page.Messages) != 2 || page.Messages[0].Position.Offset != 20002 {
		t.Errorf("read %+v, %v; want the 2 young messages", page, err)
	}
	if n := looks(); n > 50 {
		t.Errorf("Redis ran %d commands to find the messages that have expired", n)
	}
	if left := server.CLI("XLEN", "tidegate:a"); left != "2" {
		t.Errorf("%s messages are kept, want the 2 young ones", left)
	}
}

// While one read is under way, all that want the same wait for one more.
func TestHistory_EqualReadsAtOneTimeAreOne(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
	told.WaitUp()
	publish(t, b, "1", "2")
	before := scriptsRun(t, server)
	server.Pause()
	var wait sync.WaitGroup
	for range 200 {
		wait.Go(func() {
			if page, err := b.Since(t.Context(), "a", broker.Position{}, broker.Most{}); err != nil || len(page.Messages) != 2 {
				t.Errorf("Since: %d messages, %v", len(page.Messages), err)
			}
		})
	}
	server.Resume()
	wait.Wait()
	if n := scriptsRun(t, server) - before; n > 100 {
		t.Errorf("200 equal reads at one time were %d reads", n)
	}
}
