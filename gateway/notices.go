package gateway

import (
	"context"
	"encoding/json"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/attendance"
)

// newAttendance returns this node's bookkeeping of who is where.
func newAttendance(g *Gateway, c Config) *attendance.Attendance {
	own := attendance.Config{
		Presence: c.Presence, Broker: c.Broker, Node: g.node, Run: newName(),
		Lease: g.lease, Linger: orElse(c.PresenceLinger, 5*time.Second), Wants: g.wants,
		Alone:    func() bool { return len(g.cluster.Alive()) == 1 },
		LastWord: g.lastWord, Changes: c.Limits.PresencePerSecond, Log: g.log, Wall: g.wall,
	}
	if g.wants != (broker.Wants{}) {
		own.Deliver = g.deliverNotices
		own.Rouse = func(ctx context.Context, node string) error { return g.cluster.Tell(ctx, node, noticesInLine, nil) }
		own.Dropped = g.metrics.Webhooks.Dropped
	}
	g.sessionsChannel = broker.SessionsChannel(own.Run)
	return attendance.New(own)
}

// wantsOf returns what the backend is to be told; hooks may be nil.
func wantsOf(hooks Hooks) broker.Wants {
	if hooks == nil {
		return broker.Wants{}
	}
	return broker.Wants{
		Channels: hooks.Wants(OnChannelOccupied) || hooks.Wants(OnChannelVacated),
		Members:  hooks.Wants(OnMemberJoined) || hooks.Wants(OnMemberLeft),
		Sessions: hooks.Wants(OnDisconnect),
	}
}

// nodeLost is told of another node that has left or died.
func (g *Gateway) nodeLost(string) {
	if g.attendance != nil {
		g.attendance.Lost()
	}
}

// hearOfNotices is told by another node that it has put notices in line.
func (g *Gateway) hearOfNotices(string, json.RawMessage) error {
	if g.attendance != nil {
		g.attendance.RouseTeller()
	}
	return nil
}

// deliverNotices tells the backend what it wants to hear.
func (g *Gateway) deliverNotices(ctx context.Context, line []broker.Notice) error {
	var notices []Notice
	for i := range line {
		if n := g.noticeOf(&line[i]); g.hooks.Wants(n.Event) {
			notices = append(notices, n)
		}
	}
	if len(notices) == 0 {
		return nil
	}
	return g.hooks.Tell(ctx, notices)
}

func (g *Gateway) noticeOf(n *broker.Notice) Notice {
	if broker.IsSessionsChannel(n.Channel) {
		return disconnectOf(n)
	}
	return Notice{
		ID: n.ID, Event: eventOf(n.Event), Time: n.Time, Node: g.node, Channel: n.Channel,
		User: n.User, Session: n.Session, Info: n.Info, Sessions: n.Sessions,
	}
}

func eventOf(notice string) HookEvent {
	switch notice {
	case broker.NoticeOccupied:
		return OnChannelOccupied
	case broker.NoticeVacated:
		return OnChannelVacated
	case broker.NoticeJoined:
		return OnMemberJoined
	default:
		return OnMemberLeft
	}
}

// disconnectOf returns a notice that has the same name also if it was put in line
// twice.
func disconnectOf(n *broker.Notice) Notice {
	var f farewell
	_ = json.Unmarshal(n.Info, &f) // it was written here, or by another version
	reason := Reason{f.Code, f.Reason, f.Text}
	if f.Reason == "" {
		reason = Lost.With("the session's node is gone")
	}
	return Notice{
		ID: "disconnect " + n.Session, Event: OnDisconnect, Time: n.Time, Node: f.Node, Session: n.Session, User: n.User,
		Remote: f.Remote, Reason: reason,
	}
}
