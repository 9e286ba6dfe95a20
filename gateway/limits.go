package gateway

import (
	"fmt"

	"golang.org/x/time/rate"
)

// Limits bound what clients may use. A limit of 0 means none.
type Limits struct {
	MessageBytes       int // of a payload
	OutboxBytes        int // that wait for one session
	ChannelsPerSession int
	CommandsPerSecond  int // of one session, with a burst of one second
	Sessions           int // on this node
	SessionsPerUser    int // on this node
	ConnectsPerSecond  int // on this node
}

// DefaultLimits are the limits of a gateway that is not told otherwise.
func DefaultLimits() Limits {
	return Limits{
		MessageBytes:       64 << 10,
		OutboxBytes:        1 << 20,
		ChannelsPerSession: 128,
		CommandsPerSecond:  100,
	}
}

// Validate returns what is wrong with the limits.
func (l Limits) Validate() error {
	for name, value := range map[string]int{
		"message_bytes": l.MessageBytes, "outbox_bytes": l.OutboxBytes,
		"channels_per_session": l.ChannelsPerSession, "commands_per_second": l.CommandsPerSecond,
		"sessions": l.Sessions, "sessions_per_user": l.SessionsPerUser,
		"connects_per_second": l.ConnectsPerSecond,
	} {
		if value < 0 {
			return fmt.Errorf("limits.%s is %d: want 0 for no limit, or more", name, value)
		}
	}
	return nil
}

// connectLimiter admits most sessions a second; nil admits all.
func connectLimiter(most int) *rate.Limiter {
	if most <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(most), most)
}

func (g *Gateway) admitConnect() error {
	if g.connects != nil && !g.connects.Allow() {
		return failf(RateLimited, "more than %d connects a second: try again shortly", g.limits.ConnectsPerSecond)
	}
	return nil
}
