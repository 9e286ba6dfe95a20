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

// Config is what a Hub is made of. History, Attendance and Trace may be nil, all else is
// required.
type Config struct {
	Broker     Broker
	History    broker.History         // nil: no channel keeps history
	Attendance *attendance.Attendance // nil: nobody is counted

	Rule   func(channel string) *rules.Rule // as it stands; it is not changed
	Counts func(channel string) bool        // whether somebody is told how many sessions are on a channel
	Trace  Tracer                           // nil: nobody traces messages

	Line          *outbox.Line // of the outboxes that are to be written
	Outboxes      *outbox.Pool
	Subscriptions int // at most; 0: no limit

	Life       context.Context // ends with the node
	Background *wall.Group
	Wall       *wall.Wall
	Log        *slog.Logger
	Counters   Counters
}

// Broker is how messages of channels are asked for. Both methods are as broker.Broker's.
type Broker interface {
	Subscribe(ctx context.Context, channels ...string) error
	Unsubscribe(ctx context.Context, channel string) error
}

// Counters are told of losses, and of what became of them.
type Counters struct {
	Told         Counter // losses that an audience was told of
	Repaired     Counter // that were closed from the history
	Recovered    Counter // clients with a cursor that were brought all that they had missed
	NotRecovered Counter // those that were not
	Reads        Counter // of histories
}

// Counter counts one more.
type Counter interface{ Inc() }
