package gateway

import (
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/hub"
)

// Tracer tells others, such as an OpenTelemetry collector, of messages on their way. All
// methods, and what they return, may be called concurrently, and must not block.
type Tracer interface {
	// Publish is told that a publish on behalf of p begins, to which parent has led, a
	// traceparent (W3C Trace Context) as the publisher gave it, or empty. It returns what is to
	// travel with the message, a traceparent; and what is called when the publish has ended. If
	// nobody traces the message these are empty and nil.
	Publish(p *Principal, channel, parent string) (trace string, done func(error))

	// Deliver is told that a message with a Trace has come to an audience of this node. What
	// it returns is called once: when it has been written to all of these sessions, or, if
	// they do not take it, half a minute later. nil: nobody wants to know.
	Deliver(m *broker.Message, received time.Time) (done func(Delivered))
}

// Delivered is what became of a message on a node.
type Delivered = hub.Delivered
