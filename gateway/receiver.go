package gateway

import "tidegate/broker"

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
