// Package metrics is what the gateway tells Prometheus. Labels come from closed
// sets only: never a channel, a user or a session.
package metrics

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics are a node's. All methods, and those of its parts, may be called
// concurrently.
type Metrics struct {
	Sessions Sessions
	Messages Messages
	Commands Commands
	Recovery Recovery
	Broker   Broker
	Webhooks Webhooks
	Panics   prometheus.Counter // that were stopped before they ended the node
	Died     prometheus.Counter // other nodes, without a word

	registry *prometheus.Registry
}

// New returns metrics of their own registry, with the Go and process
// collectors.
func New(version string) *Metrics {
	m := &Metrics{
		Sessions: newSessions(),
		Messages: newMessages(),
		Commands: newCommands(),
		Recovery: newRecovery(),
		Broker:   newBroker(),
		Webhooks: newWebhooks(),
		Panics:   counter("panics_total", "Panics that were stopped before they ended the node: each is a bug, and logged."),
		Died:     counter("nodes_died_total", "Other nodes that this one has not heard of for their lease: they ended without saying so, or cannot be reached."),
		registry: prometheus.NewRegistry(),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "tidegate_build_info", Help: "Always 1; the version is a label.",
	}, []string{"version"})
	build.WithLabelValues(version).Set(1)
	m.registry.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), build, m.Panics, m.Died)
	for _, part := range [][]prometheus.Collector{
		m.Sessions.collectors(), m.Messages.collectors(), m.Commands.collectors(),
		m.Recovery.collectors(), m.Broker.collectors(), m.Webhooks.collectors(),
	} {
		m.registry.MustRegister(part...)
	}
	return m
}

// Handler serves the metrics in Prometheus' formats.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// Gather returns every metric as it stands, for tests.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// Track registers gauges whose values are read when Prometheus scrapes. Each
// function may be called at any time until the process ends. Call it once.
func (m *Metrics) Track(channels, subscriptions, outboxBytes, inboundBytes, ready func() float64) {
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tidegate_channels",
			Help: "Channels that sessions of this node are subscribed to."}, channels),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tidegate_subscriptions",
			Help: "Subscriptions of this node's sessions."}, subscriptions),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tidegate_outbox_bytes",
			Help: "Bytes that wait to be written to sessions."}, outboxBytes),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tidegate_inbound_bytes",
			Help: "Bytes that are held for clients (limits.inbound_bytes): bodies, answers, unfinished messages, publishes on their way."}, inboundBytes),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tidegate_ready",
			Help: "1 if the node is fit to take traffic, as /readyz says, else 0."}, ready),
	)
}
