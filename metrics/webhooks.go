package metrics

import "github.com/prometheus/client_golang/prometheus"

// Webhooks count the requests to a backend.
type Webhooks struct{ requests *prometheus.CounterVec }

func newWebhooks() Webhooks {
	return Webhooks{counters("webhook_requests_total", "Requests to the webhook's backend.", "event", "result")}
}

func (w *Webhooks) collectors() []prometheus.Collector { return []prometheus.Collector{w.requests} }

// Requested counts a request; event and result are of closed sets.
func (w *Webhooks) Requested(event, result string) { w.requests.WithLabelValues(event, result).Inc() }
