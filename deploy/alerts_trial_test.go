//go:build alerts

package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"tidegate/broker/brokertest"
)

// TestAlerts_FireAndResolve makes the trouble that each alert is about with real nodes,
// a real Redis and a real Prometheus, and sees the alert come and go. Times are thirty
// times shorter than in the file. It takes minutes:
//
//	go test -tags alerts ./deploy -run TestAlerts_FireAndResolve -v
//
// Of a panic there is none to be had: promtool alone tests that alert.
func TestAlerts_FireAndResolve(t *testing.T) {
	redis, a, b := startRealCluster(t)
	p := startPrometheus(t, scaled(t, 30), a, b)
	trial := &alertsTrial{t: t, prometheus: p, seen: map[string]bool{"Panics": true}}
	trial.calm()

	a.listener("late:a", "open:a", "short:a")
	trial.during(repeat(t, 20*time.Millisecond, func(ctx context.Context) { a.publish(ctx, "late:a", theKey, "1") }), "DeliverySlow")

	old := cursorOf(t, a, "short:a")
	for range 3 {
		a.publish(t.Context(), "short:a", theKey, "1")
	}
	trial.during(repeat(t, 50*time.Millisecond, func(ctx context.Context) {
		status(ctx, "http://"+a.public+"/poll?channel=short:a&wait=1s&cursor="+old)
	}), "HistoryTooShort")

	trial.during(repeat(t, 50*time.Millisecond, func(ctx context.Context) { a.publish(ctx, "open:a", "", "1") }), "WebhookAway")
	trial.during(crowd(t, a), "LimitReached", "DescriptorsLow")
	trial.during(sluggards(t, b), "SlowSessions")

	publishing := repeat(t, 50*time.Millisecond, func(ctx context.Context) { a.publish(ctx, "short:a", theKey, "1") })
	redisCLI := func(args ...string) {
		_ = exec.Command("redis-cli", append([]string{"-u", redis.URL()}, args...)...).Run()
	}
	redisCLI("config", "set", "maxmemory", "1")
	trial.during(func() { redisCLI("config", "set", "maxmemory", "0") }, "RedisRefuses")

	redis.Stop()
	trial.during(redis.Start, "BrokerDown", "NodeNotReady", "PublishUnavailable")
	trial.sees("GapsUnrepaired")
	trial.calm()

	trial.during(repeat(t, time.Second, func(context.Context) { redisCLI("client", "kill", "type", "pubsub") }), "BrokerFlapping")
	publishing()
	trial.calm()

	b.kill()
	trial.during(func() { p.scrape(a) }, "NodeUnreachable", "NodeDied")
	a.kill()
	trial.during(a.start, "NoNode")
	trial.calm()

	for _, name := range regexp.MustCompile(`alert: Tidegate(\w+)`).FindAllStringSubmatch(read(t, "prometheus/alerts.yml"), -1) {
		if !trial.seen[name[1]] {
			t.Errorf("%s was not tried", name[1])
		}
	}
}

type alertsTrial struct {
	t          *testing.T
	prometheus *scraper
	seen       map[string]bool
}

// during waits until the alerts have fired, each at some time, and then ends the trouble.
func (a *alertsTrial) during(end func(), names ...string) {
	a.t.Helper()
	defer end()
	a.sees(names...)
}

func (a *alertsTrial) sees(names ...string) {
	a.t.Helper()
	began := time.Now()
	for _, name := range names {
		brokertest.Eventually(a.t, name+" to fire", func() bool {
			for firing := range a.prometheus.firing() {
				a.seen[firing] = true
			}
			return a.seen[name]
		})
	}
	a.t.Logf("%v fired within %v", names, time.Since(began).Round(time.Second/10))
}

// calm waits until nothing fires.
func (a *alertsTrial) calm() {
	a.t.Helper()
	began := time.Now()
	brokertest.Eventually(a.t, "all alerts to resolve", func() bool { return len(a.prometheus.firing()) == 0 })
	a.t.Logf("all is quiet within %v", time.Since(began).Round(time.Second/10))
}

// crowd opens as many sessions as the node takes, and tries for more.
func crowd(t *testing.T, n *gatewayNode) (leave func()) {
	var open []net.Conn
	greet := func(ctx context.Context) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", n.public)
		if err != nil {
			return
		}
		_, _ = conn.Write([]byte("GET /ws HTTP/1.1\r\nHost: " + n.public + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"))
		open = append(open, conn)
	}
	for range 110 {
		greet(t.Context())
	}
	stop := repeat(t, 50*time.Millisecond, greet)
	return func() {
		stop()
		for _, conn := range open {
			conn.Close()
		}
	}
}

// sluggards come again and again to hear much, and read nothing.
func sluggards(t *testing.T, n *gatewayNode) (leave func()) {
	payload := strings.Repeat("x", 60000)
	return repeat(t, 100*time.Millisecond, func(ctx context.Context) {
		var conns []net.Conn
		for range 20 {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", n.public)
			if err != nil {
				continue
			}
			_ = conn.(*net.TCPConn).SetReadBuffer(4096)
			_, _ = conn.Write([]byte("GET /raw/open:big HTTP/1.1\r\nHost: " + n.public + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"))
			conns = append(conns, conn)
		}
		for range 60 {
			n.publish(ctx, "open:big", theKey, payload)
		}
		for _, conn := range conns {
			conn.Close()
		}
	})
}

// firing returns which alerts do, by name.
func (p *scraper) firing() map[string]bool {
	p.t.Helper()
	var answer struct {
		Data struct {
			Alerts []struct {
				State  string
				Labels struct{ Alertname string }
			}
		}
	}
	if err := json.Unmarshal([]byte(get(p.t, strings.TrimPrefix(p.url, "http://")+"/api/v1/alerts")), &answer); err != nil {
		p.t.Fatal(err)
	}
	firing := make(map[string]bool)
	for _, a := range answer.Data.Alerts {
		if a.State == "firing" {
			firing[strings.TrimPrefix(a.Labels.Alertname, "Tidegate")] = true
		}
	}
	return firing
}

// scaled returns the alerts with times that are shorter, by a factor.
func scaled(t *testing.T, factor int) string {
	t.Helper()
	duration := regexp.MustCompile(`\b(\d+)(s|m|h)\b`)
	shorter := func(text string) string {
		return duration.ReplaceAllStringFunc(text, func(d string) string {
			whole, err := time.ParseDuration(d)
			must(t, err)
			return fmt.Sprintf("%dms", whole.Milliseconds()/int64(factor))
		})
	}
	return regexp.MustCompile(`for: \w+|\[[\w:]+\]`).ReplaceAllStringFunc(read(t, "prometheus/alerts.yml"), shorter)
}
