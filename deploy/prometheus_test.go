package deploy

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tidegate/broker/brokertest"
)

// scraper is a real Prometheus, which scrapes nodes many times a second.
type scraper struct {
	t       *testing.T
	url     string
	targets string // its file of them
}

// startPrometheus runs one until the test ends, with some rules; "": none.
func startPrometheus(t *testing.T, rules string, nodes ...*gatewayNode) *scraper {
	t.Helper()
	dir := t.TempDir()
	p := &scraper{t: t, targets: filepath.Join(dir, "targets.json")}
	p.scrape(nodes...)
	write(t, filepath.Join(dir, "rules.yml"), rules)
	write(t, filepath.Join(dir, "prometheus.yml"), `
global: {scrape_interval: 250ms, evaluation_interval: 250ms, scrape_timeout: 250ms}
rule_files: [rules.yml]
scrape_configs:
  - {job_name: edge, file_sd_configs: [{files: [targets.json], refresh_interval: 1s}]}
`)
	address := brokertest.FreeAddress(t)
	p.url = "http://" + address
	startBalancer(t, exec.Command(brokertest.FindProgram(t, "prometheus"), "--config.file", filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", address, "--log.level", "error"))
	brokertest.Eventually(t, "Prometheus", func() bool { return status(t.Context(), p.url+"/-/ready") == http.StatusOK })
	return p
}

// scrape has it scrape these nodes and no others.
func (p *scraper) scrape(nodes ...*gatewayNode) {
	p.t.Helper()
	addresses := make([]string, len(nodes))
	for i, n := range nodes {
		addresses[i] = n.internal
	}
	text, err := json.Marshal([]any{map[string]any{"targets": addresses}})
	if err != nil {
		p.t.Fatal(err)
	}
	write(p.t, p.targets, string(text))
}

// query returns how many series a query finds.
func (p *scraper) query(expr string) int {
	p.t.Helper()
	var answer struct {
		Data struct{ Result []any }
	}
	if err := json.Unmarshal([]byte(get(p.t, strings.TrimPrefix(p.url, "http://")+"/api/v1/query?query="+url.QueryEscape(expr))), &answer); err != nil {
		p.t.Fatal(err)
	}
	return len(answer.Data.Result)
}

// stress has clients of all kinds do what nodes count.
func stress(t *testing.T, redis *brokertest.RedisServer, nodes ...*gatewayNode) {
	t.Helper()
	for _, n := range nodes {
		n.listener("short:a", "open:a", "forbidden:a", "open:b", "open:c", "open:d")
		repeat(t, 50*time.Millisecond, func(ctx context.Context) {
			n.publish(ctx, "short:a", theKey, "1")
			n.publish(ctx, "open:a", "", "1")
			n.publish(ctx, "open:a", "no.such.token", "1")
			status(ctx, "http://"+n.public+"/events?channel=forbidden:a")
		})
	}
	runOutOfMemory(t, redis, nodes[0])
}

// runOutOfMemory has Redis refuse what it would have to keep, until a node has counted
// it.
func runOutOfMemory(t *testing.T, redis *brokertest.RedisServer, n *gatewayNode) {
	t.Helper()
	run(t, "redis-cli", "-u", redis.URL(), "config", "set", "maxmemory", "1")
	brokertest.Eventually(t, "Redis to refuse", func() bool { return strings.Contains(get(t, n.internal+"/metrics"), `kind="OOM"`) })
	run(t, "redis-cli", "-u", redis.URL(), "config", "set", "maxmemory", "0")
}

// TestDashboard_EveryQueryFindsSomething asks a real Prometheus that scrapes real nodes
// under load what each panel asks.
func TestDashboard_EveryQueryFindsSomething(t *testing.T) {
	redis, a, b := startRealCluster(t)
	p := startPrometheus(t, "groups: []", a, b)
	stress(t, redis, a, b)
	for _, query := range dashboardQueries(t) {
		query = strings.NewReplacer("$node", ".*", "$__rate_interval", "10s").Replace(query)
		brokertest.Eventually(t, "a series of "+query, func() bool { return p.query(query) > 0 })
	}
}

// TestAlerts_HaveARunbook: each links to its own part of it.
func TestAlerts_HaveARunbook(t *testing.T) {
	alerts, runbook := read(t, "prometheus/alerts.yml"), read(t, "runbook.md")
	for _, name := range regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(alerts, -1) {
		if !strings.Contains(alerts, "runbook_url: deploy/runbook.md#"+strings.ToLower(name[1])+"\n") || !strings.Contains(runbook, "\n## "+name[1]+"\n") {
			t.Errorf("%s has no runbook", name[1])
		}
	}
}
