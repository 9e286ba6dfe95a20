package broker_test

import (
	"strconv"
	"strings"
	"sync"
	"testing"

	"tidegate/broker"
	"tidegate/broker/brokertest"
)

// sent returns how many bytes the server has sent so far.
func sent(t *testing.T, server *brokertest.RedisServer) int {
	t.Helper()
	_, rest, _ := strings.Cut(server.CLI("INFO", "stats"), "total_net_output_bytes:")
	digits, _, _ := strings.Cut(rest, "\r")
	n, err := strconv.Atoi(digits)
	if err != nil {
		t.Fatalf("total_net_output_bytes: %v", err)
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

// While one read is under way, all that want the same wait for one more.
func TestHistory_EqualReadsAtOneTimeAreOne(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	var mu sync.Mutex
	reads := 0
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return reads
	}
	b, told := startNode(t, broker.RedisConfig{URL: server.URL(), Observe: broker.RedisObserver{HistoryRead: func() {
		mu.Lock()
		defer mu.Unlock()
		reads++
	}}})
	told.WaitUp()
	publish(t, b, "1", "2")
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
	if n := count(); n > 100 {
		t.Errorf("200 equal reads at one time were %d reads", n)
	}
}
