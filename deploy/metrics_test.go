package deploy

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"tidegate/metrics"
)

// TestQueries_NameWhatTheGatewayTells holds the dashboard and the alerts to the
// metrics package: every metric is there, and has the labels that are used.
func TestQueries_NameWhatTheGatewayTells(t *testing.T) {
	known := registered(t)
	queries := append(dashboardQueries(t), alertQueries(t)...)
	if len(queries) < 30 {
		t.Fatalf("found only %d queries", len(queries))
	}
	for _, query := range queries {
		labels := []string{"instance", "job", "le"}
		for _, name := range metricName.FindAllString(query, -1) {
			own, ok := known[histogramSuffix.ReplaceAllString(name, "")]
			if !ok {
				own, ok = known[name]
			}
			if !ok {
				t.Errorf("%s is no metric of the gateway, in: %s", name, query)
			}
			labels = append(labels, own...)
		}
		for _, label := range labelsIn(query) {
			if strings.Contains(query, "tidegate_") && !slices.Contains(labels, label) {
				t.Errorf("no metric has the label %s, in: %s", label, query)
			}
		}
	}
}

var (
	metricName      = regexp.MustCompile(`\btidegate_\w+`)
	histogramSuffix = regexp.MustCompile(`_(bucket|count|sum)$`)
	selector        = regexp.MustCompile(`\{([^}]*)\}`)
	matcher         = regexp.MustCompile(`(\w+)\s*[=!]`)
	grouping        = regexp.MustCompile(`\bby \(([^)]*)\)`)
)

func labelsIn(query string) []string {
	var all []string
	for _, braces := range selector.FindAllStringSubmatch(query, -1) {
		for _, match := range matcher.FindAllStringSubmatch(braces[1], -1) {
			all = append(all, match[1])
		}
	}
	for _, group := range grouping.FindAllStringSubmatch(query, -1) {
		all = append(all, strings.Split(group[1], ", ")...)
	}
	return all
}

// registered returns the labels of every metric of the gateway, by its name.
func registered(t *testing.T) map[string][]string {
	t.Helper()
	m := metrics.New("test")
	none := func() float64 { return 0 }
	m.Track(none, none, none, none, none)
	registry, ok := m.Gatherer().(*prometheus.Registry)
	if !ok {
		t.Fatal("the metrics have no registry to ask")
	}
	descriptions := make(chan *prometheus.Desc)
	go func() {
		registry.Describe(descriptions)
		close(descriptions)
	}()
	form := regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`)
	known := map[string][]string{}
	for description := range descriptions {
		parts := form.FindStringSubmatch(description.String())
		if parts == nil {
			t.Fatalf("unreadable: %v", description)
		}
		known[parts[1]] = strings.Split(parts[2], ",")
	}
	return known
}

func dashboardQueries(t *testing.T) []string {
	t.Helper()
	var dashboard struct {
		Panels []panel `json:"panels"`
	}
	must(t, json.Unmarshal([]byte(read(t, dashboardFile)), &dashboard))
	var all []string
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			all = append(all, target.Expr)
		}
	}
	return all
}

func alertQueries(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, group := range documents(t, "prometheus/alerts.yml")[0]["groups"].([]any) {
		for _, rule := range group.(mapping)["rules"].([]any) {
			all = append(all, rule.(mapping)["expr"].(string))
		}
	}
	return all
}
