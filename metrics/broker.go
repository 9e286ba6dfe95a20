package metrics

import "github.com/prometheus/client_golang/prometheus"

// Broker holds the metrics of the connection to the broker.
type Broker struct {
	Up         prometheus.Gauge // 1 if the broker can be used
	Reconnects prometheus.Counter
	RoundTrip  prometheus.Observer // in seconds
	Errors     Counters            // refusals by the broker, by kind

	roundTrip *prometheus.HistogramVec
}

func newBroker(r registrar) Broker {
	roundTrip := r.latencies("broker_round_trip_seconds", "Response time of the broker.")
	return Broker{
		Up:         r.gauges("broker_up", "1 if the broker can be used, else 0.").WithLabelValues(),
		Reconnects: r.counter("broker_reconnects_total", "Connections to the broker that were lost and reopened."),
		RoundTrip:  roundTrip.WithLabelValues(),
		Errors:     Counters{r.counters("broker_errors_total", "Errors from the broker, by kind.", "kind")},
		roundTrip:  roundTrip,
	}
}
