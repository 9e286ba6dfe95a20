package gateway

import (
	"slices"
	"sync/atomic"

	"tidegate/broker"
)

// receiver is a Receiver, and what the broker puts in line for it.
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

// hears reports whether it is told of a channel.
func (r *receiver) hears(channel string) bool { return r.Of == nil || r.Of(channel) }

// receivers are who is told of notices. All methods may be called concurrently.
type receivers struct {
	list atomic.Pointer[[]receiver] // nil: nobody
}

func (r *receivers) all() []receiver {
	if list := r.list.Load(); list != nil {
		return *list
	}
	return nil
}

// hear reports whether somebody is told of an event on a channel.
func (r *receivers) hear(event HookEvent, channel string) bool {
	return slices.ContainsFunc(r.all(), func(r receiver) bool { return r.Wants(event) && r.hears(channel) })
}

// hearOfSessions reports whether somebody is told of sessions that are over.
func (r *receivers) hearOfSessions() bool {
	return slices.ContainsFunc(r.all(), func(r receiver) bool { return r.wants.Sessions })
}

// count reports whether somebody is told whether, or how many, sessions are on a channel.
func (r *receivers) count(channel string) bool {
	return slices.ContainsFunc(r.all(), func(r receiver) bool {
		return (r.wants.Channels || r.wants.Counts) && r.hears(channel)
	})
}
