package metrics

import "github.com/prometheus/client_golang/prometheus"

// Webhooks counts requests to backends.
type Webhooks struct {
	requests *prometheus.CounterVec
	dropped  prometheus.Counter
}

func newWebhooks(r registrar) Webhooks {
	return Webhooks{
		requests: r.counters("webhook_requests_total", "Requests to the webhook's backend.", "event", "result"),
		dropped:  r.counter("webhook_dropped_total", "Notices dropped because too many were waiting for the webhook's backend."),
	}
}

// Prepare creates the series of an event with the value 0, so that the first request
// shows as an increase.
func (w *Webhooks) Prepare(event string, results ...string) {
	for _, result := range results {
		w.requests.WithLabelValues(event, result)
	}
}

// Requested counts a request. event and result must be of fixed sets.
func (w *Webhooks) Requested(event, result string) { w.requests.WithLabelValues(event, result).Inc() }

// Dropped counts notices that were dropped for lack of room.
func (w *Webhooks) Dropped(n int) { w.dropped.Add(float64(n)) }
