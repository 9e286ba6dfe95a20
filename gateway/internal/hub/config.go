package hub

import (
	"context"
	"log/slog"

	"tidegate/broker"
	"tidegate/gateway/internal/attendance"
	"tidegate/gateway/internal/outbox"
	"tidegate/gateway/internal/wall"
	"tidegate/gateway/rules"
)

// Config is the configuration of a Hub. History, Attendance and Trace may be nil; the other
// fields are required.
type Config struct {
	Broker     Broker
	History    broker.History         // nil if no channel keeps history
	Attendance *attendance.Attendance // nil if nobody is counted

	Rule   func(channel string) *rules.Rule // returns the present rule, which is never modified
	Counts func(channel string) bool        // whether anybody wants its number of sessions
	Trace  Tracer                           // nil if no messages are traced

	Line          *outbox.Line // the outboxes that wait to be written
	Outboxes      *outbox.Pool
	Subscriptions int // the maximum; 0 means no limit

	Life       context.Context // canceled when the node stops
	Background *wall.Group
	Wall       *wall.Wall
	Log        *slog.Logger
	Counters   Counters
}

// Broker subscribes to channels. The methods are those of broker.Broker.
type Broker interface {
	Subscribe(ctx context.Context, channels ...string) error
	Unsubscribe(ctx context.Context, channel string) error
}

// Counters count losses and how they ended.
type Counters struct {
	Told         Counter // losses reported to an audience
	Repaired     Counter // losses repaired from the history
	Recovered    Counter // clients with a cursor that received everything they had missed
	NotRecovered Counter // clients with a cursor that did not
	Reads        Counter // reads of a history
}

// Counter is a counter that can be incremented by one.
type Counter interface{ Inc() }
