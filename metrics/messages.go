package metrics

import "github.com/prometheus/client_golang/prometheus"

// Messages counts messages in both directions.
type Messages struct {
	Enveloped prometheus.Counter // received from the broker, published by a gateway
	Bare      prometheus.Counter // received from the broker, published by anyone else
	Bytes     prometheus.Counter // delivered, with all protocols
	// DeliverySeconds measures a sample of messages, from the receipt from the broker to
	// the end of the system call that wrote the message.
	DeliverySeconds prometheus.Observer

	received  *prometheus.CounterVec
	delivered *prometheus.CounterVec
	publish   *prometheus.HistogramVec
	delivery  *prometheus.HistogramVec
}

func newMessages(r registrar) Messages {
	received := r.counters("messages_received_total", "Messages received from the broker.", "source")
	delivery := r.latencies("delivery_seconds", "Time from receiving a message from the broker to writing it to a socket, for a sample of messages.")
	return Messages{
		Enveloped:       received.WithLabelValues("gateway"),
		Bare:            received.WithLabelValues("bare"),
		Bytes:           r.counter("delivered_bytes_total", "Bytes written to sessions."),
		DeliverySeconds: delivery.WithLabelValues(),
		received:        received,
		delivered:       r.counters("messages_delivered_total", "Messages written to sessions.", "protocol"),
		publish:         r.latencies("publish_seconds", "Duration of publishes.", "result"),
		delivery:        delivery,
	}
}

// Delivered returns the counter of messages written with one protocol. Callers should
// look it up once.
func (m *Messages) Delivered(protocol string) prometheus.Counter {
	return m.delivered.WithLabelValues(protocol)
}

// Publish returns the histogram of publishes with one result: "ok" or an error code.
// Callers should look it up once.
func (m *Messages) Publish(result string) prometheus.Observer {
	return m.publish.WithLabelValues(result)
}
