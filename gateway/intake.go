package gateway

import (
	"slices"

	"tidegate/broker"
	"tidegate/gateway/internal/cluster"
)

// intake hands on what the broker tells a node: messages of channels to the hub, joins and
// leaves to the attendance, and what nodes say to each other to the cluster.
type intake struct{ *Gateway }

var _ broker.Receiver = intake{}

// Receive hands on a message.
func (g intake) Receive(m broker.Message) {
	if name, ok := broker.CutPresenceChannel(m.Channel); ok {
		notice := m // apart from m, which ordinary messages need no memory for
		g.wall.Do("hear who comes and goes", func() { g.attendance.Receive(name, &notice) })
		return
	}
	if cluster.IsReserved(m.Channel) {
		request := m
		g.wall.Do("hear another node", func() { g.Nodes.cluster.Receive(&request) })
		return
	}
	if m.Time.IsZero() {
		g.metrics.Messages.Bare.Inc()
	} else {
		g.metrics.Messages.Enveloped.Inc()
	}
	g.hub.Receive(&m)
}

// Rest writes what Receive has left to be written.
func (g intake) Rest() { g.line.Help() }

// Gap says that messages of channels may have been missed.
func (g intake) Gap(channels []string, err error) {
	if slices.ContainsFunc(channels, cluster.IsReserved) {
		g.Nodes.cluster.Missed()
	}
	if g.attendance != nil {
		g.attendance.Missed()
	}
	g.log.Warn("messages may have been missed", "channels", len(channels), "error", err)
	g.hub.Missed(channels)
}

// Link notes whether the broker can be used.
func (g intake) Link(err error) {
	g.Nodes.cluster.Link(err)
	g.noteLink(err)
	if g.attendance != nil {
		g.attendance.Link(err)
	}
}
