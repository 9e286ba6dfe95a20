package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/attendance"
)

// newAttendance returns the Attendance of this node, which keeps track of who is on which
// channel.
func newAttendance(g *Gateway, c Config) *attendance.Attendance {
	own := attendance.Config{
		Presence: c.Presence, Broker: c.Broker, Node: g.node, Run: newName(),
		Lease: g.lease, Linger: cmp.Or(c.PresenceLinger, 5*time.Second),
		Alone:    func() bool { return len(g.Nodes.cluster.Alive()) == 1 },
		LastWord: g.drain.lastWord, Changes: c.Limits.PresencePerSecond, Log: g.log, Wall: g.wall,
		Rouse: func(ctx context.Context, node, line string) error {
			return g.Nodes.cluster.Tell(ctx, node, noticesInLine, line)
		},
		Dropped: g.metrics.Webhooks.Dropped,
	}
	g.sessionsChannel = broker.SessionsChannel(own.Run)
	return attendance.New(own)
}

// SetReceivers replaces the backends that get notices about some channels, in addition to
// that of Hooks. Notices for a backend stay queued while it is away, and for a week after it
// was removed. Without a Presence there are no notices.
func (g *Gateway) SetReceivers(list []Receiver) {
	if g.attendance == nil {
		return
	}
	g.notices.setReceivers(list)
	for _, s := range g.sessions.all() {
		s.recount()
	}
}

// TellCount tells the subscribers of a channel on this node how many sessions the channel has
// in the whole cluster, if their protocol has an event for that. A Receiver of
// OnSessionsChanged calls it.
func (g *Gateway) TellCount(channel string, sessions int) {
	g.hub.TellCount(channel, sessions)
}

// nodeLost is called when another node has left or died.
func (g *Gateway) nodeLost(string) {
	if g.attendance != nil {
		g.attendance.Missed()
	}
}

// hearOfNotices is called when another node has queued notices.
func (g *Gateway) hearOfNotices(_ string, body json.RawMessage) error {
	var line string
	err := json.Unmarshal(body, &line)
	if err == nil && g.attendance != nil {
		g.attendance.RouseTeller(line)
	}
	return err
}
