package gateway

import (
	"slices"
	"sync/atomic"

	"tidegate/broker"
)

// receiver is a Receiver, with what the broker is to queue for it.
type receiver struct {
	Receiver
	wants broker.Wants
}

func newReceiver(r Receiver) receiver {
	return receiver{r, broker.Wants{
		Line: r.Name, Of: r.Of,
		Channels: r.Wants(OnChannelOccupied) || r.Wants(OnChannelVacated),
		Members:  r.Wants(OnMemberJoined) || r.Wants(OnMemberLeft),
		Counts:   r.Wants(OnSessionsChanged),
		Sessions: r.Wants(OnDisconnect) && r.Name == "",
	}}
}

// hears reports whether it gets notices about a channel.
func (r *receiver) hears(channel string) bool { return r.Of == nil || r.Of(channel) }

// receivers are the backends that get notices. All methods are safe for concurrent use.
type receivers struct {
	list atomic.Pointer[[]receiver] // nil: none
}

func (r *receivers) all() []receiver {
	if list := r.list.Load(); list != nil {
		return *list
	}
	return nil
}

// hear reports whether some receiver wants notices of an event on a channel.
func (r *receivers) hear(event HookEvent, channel string) bool {
	return slices.ContainsFunc(r.all(), func(r receiver) bool { return r.Wants(event) && r.hears(channel) })
}

// hearOfSessions reports whether some receiver wants notices of sessions that have ended.
func (r *receivers) hearOfSessions() bool {
	return slices.ContainsFunc(r.all(), func(r receiver) bool { return r.wants.Sessions })
}

// count reports whether some receiver wants to know if, or how many, sessions are on a
// channel.
func (r *receivers) count(channel string) bool {
	return slices.ContainsFunc(r.all(), func(r receiver) bool {
		return (r.wants.Channels || r.wants.Counts) && r.hears(channel)
	})
}
