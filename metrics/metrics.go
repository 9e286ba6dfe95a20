// Package metrics defines the Prometheus metrics of a node. Labels have a fixed set of
// values, never a channel, a user or a session.
package metrics

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics holds the metrics of a node. All methods, including those of its parts, are safe
// for concurrent use.
type Metrics struct {
	Sessions Sessions
	Messages Messages
	Commands Commands
	Recovery Recovery
	Broker   Broker
	Webhooks Webhooks
	Panics   prometheus.Counter // recovered panics
	Died     prometheus.Counter // other nodes that crashed

	registry *prometheus.Registry
}

// New returns Metrics with their own registry, which includes the Go and process collectors.
func New(version string) *Metrics {
	registry := prometheus.NewRegistry()
	r := registrar{promauto.With(registry)}
	m := &Metrics{
		Sessions: newSessions(r),
		Messages: newMessages(r),
		Commands: newCommands(r),
		Recovery: newRecovery(r),
		Broker:   newBroker(r),
		Webhooks: newWebhooks(r),
		Panics:   r.counter("panics_total", "Recovered panics. Each is a bug, and is logged."),
		Died:     r.counter("nodes_died_total", "Other nodes that were not heard from for their lease: they crashed or cannot be reached."),
		registry: registry,
	}
	r.gauges("build_info", "Always 1; the version is a label.", "version").WithLabelValues(version).Set(1)
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler returns a handler that serves the metrics to Prometheus.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// Gatherer returns the registry, for tests.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// Track registers gauges whose values are read at each scrape. The functions may be called
// at any time until the process ends. Track must be called only once.
func (m *Metrics) Track(channels, subscriptions, outboxBytes, inboundBytes, ready func() float64) {
	r := registrar{promauto.With(m.registry)}
	r.tracked("channels", "Channels that sessions of this node are subscribed to.", channels)
	r.tracked("subscriptions", "Subscriptions of this node's sessions.", subscriptions)
	r.tracked("outbox_bytes", "Bytes waiting to be written to sessions.", outboxBytes)
	r.tracked("inbound_bytes", "Bytes held for clients (limits.inbound_bytes): request bodies, headers for a later question to the webhook, responses, unfinished messages, publishes and subscribes in progress.", inboundBytes)
	r.tracked("ready", "1 if the node is ready for traffic, as /readyz says, else 0.", ready)
}
