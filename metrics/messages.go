package metrics

import "github.com/prometheus/client_golang/prometheus"

// Messages count what goes through the node, both ways.
type Messages struct {
	Enveloped prometheus.Counter // received from the broker, published by a gateway
	Bare      prometheus.Counter // received from the broker, published by anyone else
	Bytes     prometheus.Counter // delivered, all protocols
	// DeliverySeconds is observed for a sample of messages: from the broker's
	// receipt to the end of the system call that wrote it.
	DeliverySeconds prometheus.Observer

	received  *prometheus.CounterVec
	delivered *prometheus.CounterVec
	publish   *prometheus.HistogramVec
	delivery  *prometheus.HistogramVec
}

func newMessages(r registrar) Messages {
	received := r.counters("messages_received_total", "Messages received from the broker.", "source")
	delivery := r.latencies("delivery_seconds", "From the broker's receipt of a message to the socket's write, of a sample.")
	return Messages{
		Enveloped:       received.WithLabelValues("gateway"),
		Bare:            received.WithLabelValues("bare"),
		Bytes:           r.counter("delivered_bytes_total", "Bytes written to sessions."),
		DeliverySeconds: delivery.WithLabelValues(),
		received:        received,
		delivered:       r.counters("messages_delivered_total", "Messages written to sessions.", "protocol"),
		publish:         r.latencies("publish_seconds", "How long a publish took.", "result"),
		delivery:        delivery,
	}
}

// Delivered returns the counter of messages written in one protocol. Resolve it
// once for each protocol.
func (m *Messages) Delivered(protocol string) prometheus.Counter {
	return m.delivered.WithLabelValues(protocol)
}

// Publish returns the histogram of publishes that ended with result: "ok" or an
// error code. Resolve it once for each result.
func (m *Messages) Publish(result string) prometheus.Observer {
	return m.publish.WithLabelValues(result)
}
