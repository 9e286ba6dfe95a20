package gateway

import (
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/hub"
)

// Tracer reports messages to a tracing system, such as an OpenTelemetry collector. All methods
// and the functions that they return must be safe for concurrent use and must not block.
type Tracer interface {
	// Publish is called when a publish on behalf of p begins. parent is the cause of the
	// publish, a traceparent (W3C Trace Context) as given by the publisher, or empty. Publish
	// returns the traceparent to send with the message, and a function to call when the
	// publish has ended. If the message is not traced, they are empty and nil.
	Publish(p *Principal, channel, parent string) (trace string, done func(error))

	// Deliver is called when a message with a Trace has reached subscribers on this node. The
	// function it returns is called once: when the message has been written to all of these
	// sessions, or half a minute later if some do not accept it. It may be nil.
	Deliver(m *broker.Message, received time.Time) (done func(Delivered))
}

// Delivered is what happened to a message on a node.
type Delivered = hub.Delivered
