package metrics

import "github.com/prometheus/client_golang/prometheus"

// Webhooks count the requests to a backend.
type Webhooks struct {
	requests *prometheus.CounterVec
	dropped  prometheus.Counter
}

func newWebhooks() Webhooks {
	return Webhooks{
		requests: counters("webhook_requests_total", "Requests to the webhook's backend.", "event", "result"),
		dropped:  counter("webhook_dropped_total", "Notices that were dropped, since too many waited for the webhook's backend."),
	}
}

func (w *Webhooks) collectors() []prometheus.Collector {
	return []prometheus.Collector{w.requests, w.dropped}
}

// Prepare makes the series of an event begin at 0, so that the first request of a result
// is seen as an increase.
func (w *Webhooks) Prepare(event string, results ...string) {
	for _, result := range results {
		w.requests.WithLabelValues(event, result)
	}
}

// Requested counts a request; event and result are of closed sets.
func (w *Webhooks) Requested(event, result string) { w.requests.WithLabelValues(event, result).Inc() }

// Dropped counts notices that found no room.
func (w *Webhooks) Dropped(n int) { w.dropped.Add(float64(n)) }
