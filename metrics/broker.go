package metrics

import "github.com/prometheus/client_golang/prometheus"

// Broker holds the metrics of the connection to the broker.
type Broker struct {
	Up         prometheus.Gauge // 1 if the broker can be used
	Reconnects prometheus.Counter
	RoundTrip  prometheus.Observer // in seconds

	roundTrip *prometheus.HistogramVec
	errors    *prometheus.CounterVec
}

func newBroker(r registrar) Broker {
	roundTrip := r.latencies("broker_round_trip_seconds", "Response time of the broker.")
	return Broker{
		Up:         r.gauges("broker_up", "1 if the broker can be used, else 0.").WithLabelValues(),
		Reconnects: r.counter("broker_reconnects_total", "Connections to the broker that were lost and reopened."),
		RoundTrip:  roundTrip.WithLabelValues(),
		roundTrip:  roundTrip,
		errors:     r.counters("broker_errors_total", "Errors from the broker, by kind.", "kind"),
	}
}

// Prepare creates the series of these kinds with the value 0, so that the first refusal
// shows as an increase.
func (b *Broker) Prepare(kinds ...string) {
	for _, kind := range kinds {
		b.errors.WithLabelValues(kind)
	}
}

// Refused counts a refusal by the broker. kind must be of a fixed set.
func (b *Broker) Refused(kind string) { b.errors.WithLabelValues(kind).Inc() }
