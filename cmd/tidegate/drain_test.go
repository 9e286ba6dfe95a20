package main

import (
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"tidegate/broker/brokertest"
	"tidegate/gateway"
)

// busyRoom is the time that a busy machine may take in addition to what is promised. It is
// less than the sum of the time-outs for the broker and the backend.
const busyRoom = 2500 * time.Millisecond

// A node ends in time even if nobody responds: clients that read nothing, over WebSocket
// and SSE; a backend that answers neither questions nor notices; and a Redis that is
// stopped or slow.
func TestDrain_EndsInTimeWhoeverIsSilent(t *testing.T) {
	t.Parallel()
	brokertest.RequireRedis(t)
	for name, strike := range map[string]func(*brokertest.Way){
		"Redis has stopped": (*brokertest.Way).BlockBoth,
		"Redis is slow":     func(w *brokertest.Way) { w.Slow(400 * time.Millisecond) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			drainAmongSilentPeers(t, strike)
		})
	}
}

func drainAmongSilentPeers(t *testing.T, strike func(*brokertest.Way)) {
	redis := brokertest.StartRedis(t)
	way := brokertest.LayWay(t, redis.Addr)
	const window = 500 * time.Millisecond
	p := startReady(t, []string{
		"TIDEGATE_REDIS_URL=redis://" + way.Addr, "TIDEGATE_DRAIN_WINDOW=" + window.String(),
		"TIDEGATE_WEBHOOKS_URL=" + silentBackend(t), "TIDEGATE_WEBHOOKS_SECRET=0123456789abcdef",
		"TIDEGATE_WEBHOOKS_TIMEOUT=30s", "TIDEGATE_WEBHOOKS_EVENTS=publish,disconnect,channel_occupied,member_joined",
	})
	for n := range 20 {
		deaf := arrive(t, p)
		listen := (*assailant).deafSubscriber
		if n%2 == 0 {
			listen = (*assailant).deafStream
		}
		must(t, listen(deaf))
		if n%2 == 1 {
			ask := `{"type":"publish","id":2,"channel":"kept:1","data":1}`
			must(t, errors.Join(deaf.send(ask), deaf.send(ask)))
		}
	}
	waitForMetric(t, p, "tidegate_subscriptions 40") // each stream is on three channels
	for range 12 {
		redis.CLI("PUBLISH", "tidegate:busy", strings.Repeat("x", 60_000))
	}
	strike(way)
	began := time.Now()
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if took, most := time.Since(began), window+gateway.EndPatience+busyRoom; took > most {
		t.Errorf("it ended after %v, want %v at most:\n%s", took, most, p.said())
	}
}

// arrive returns a client that is connected until the test ends.
func arrive(t *testing.T, p *process) *assailant {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.public(""), "http://"))
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return &assailant{conn: conn, hasBegun: func() {}}
}

// silentBackend returns the URL of a server that accepts connections and answers nothing.
func silentBackend(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts connections
	must(t, err)
	t.Cleanup(func() { l.Close() })
	return "http://" + l.Addr().String()
}

// waitForMetric blocks until the metrics of a node contain a line.
func waitForMetric(t *testing.T, p *process, line string) {
	t.Helper()
	await(t, "the metric "+line, func() (met bool, seen string) {
		_, metrics := get(t, p.internal("/metrics"))
		return strings.Contains(metrics, "\n"+line+"\n"), metrics
	})
}
