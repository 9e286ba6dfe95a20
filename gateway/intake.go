package gateway

import (
	"slices"

	"tidegate/broker"
	"tidegate/gateway/internal/cluster"
)

// intake passes on what the broker delivers: messages of channels to the hub, joins and
// leaves to the attendance, and messages between nodes to the cluster.
type intake struct{ *Gateway }

var _ broker.Receiver = intake{}

// Receive passes on a message.
func (g intake) Receive(m broker.Message) {
	if name, ok := broker.CutPresenceChannel(m.Channel); ok {
		notice := m // a copy, so that ordinary messages need no allocation
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

// Rest writes what the calls of Receive have left to be written.
func (g intake) Rest() { g.line.Help() }

// Gap passes on that messages of channels may have been lost.
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

// Link passes on whether the broker can be reached.
func (g intake) Link(err error) {
	g.Nodes.cluster.Link(err)
	g.noteLink(err)
	if g.attendance != nil {
		g.attendance.Link(err)
	}
}
