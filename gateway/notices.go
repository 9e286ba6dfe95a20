package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
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
			return g.Nodes.cluster.Tell(ctx, node, noticesInLine, rousedLine{line})
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
	g.receive(list)
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

// receive sets who gets which notices.
func (g *Gateway) receive(list []Receiver) {
	if h := g.hooks; h != nil && slices.ContainsFunc(noticeEvents(), h.Wants) {
		list = append([]Receiver{{Wants: h.Wants, Tell: h.Tell}}, list...)
	}
	receivers, lines := make([]receiver, len(list)), make([]attendance.Line, len(list))
	for i, r := range list {
		receivers[i] = newReceiver(r)
		lines[i] = attendance.Line{Wants: receivers[i].wants, Deliver: func(ctx context.Context, line []broker.Notice) error {
			return receivers[i].deliver(ctx, g, line)
		}}
	}
	g.receivers.list.Store(&receivers)
	g.attendance.SetLines(lines)
}

// post queues a notice for each receiver that wants it.
func (g *Gateway) post(event HookEvent, n broker.Notice) {
	n.Event = string(event)
	for _, r := range g.receivers.all() {
		if r.Wants(event) && r.hears(n.Channel) {
			n.Line = r.Name
			g.attendance.Post(n)
		}
	}
}

// postPublished returns a wrapper of done that posts a notice if the publish has succeeded.
func (g *Gateway) postPublished(m broker.Message, done func(broker.Position, error)) func(broker.Position, error) {
	return func(position broker.Position, err error) {
		if err == nil {
			m.Position = position
			g.post(OnPublished, broker.Notice{Channel: m.Channel, User: m.User, Session: m.Session, Message: &m})
		}
		done(position, err)
	}
}

// nodeLost is called when another node has left or died.
func (g *Gateway) nodeLost(string) {
	if g.attendance != nil {
		g.attendance.Missed()
	}
}

// rousedLine names the queue in which another node has put notices.
type rousedLine struct {
	Line string `json:"line,omitempty"`
}

// hearOfNotices is called when another node has queued notices.
func (g *Gateway) hearOfNotices(_ string, body json.RawMessage) error {
	var roused rousedLine
	_ = json.Unmarshal(body, &roused) // a node of another version may not name the queue
	if g.attendance != nil {
		g.attendance.RouseTeller(roused.Line)
	}
	return nil
}

// deliver sends the receiver those of the notices that it wants.
func (r *receiver) deliver(ctx context.Context, g *Gateway, line []broker.Notice) error {
	var notices []Notice
	for i := range line {
		if n := g.noticeOf(&line[i]); r.Wants(n.Event) {
			notices = append(notices, n)
		}
	}
	if len(notices) == 0 {
		return nil
	}
	return r.Tell(ctx, notices)
}

func (g *Gateway) noticeOf(n *broker.Notice) Notice {
	if broker.IsSessionsChannel(n.Channel) {
		return disconnectOf(n)
	}
	return Notice{
		ID: n.ID, Event: eventOf(n.Event), Time: n.Time, Node: g.node, Channel: n.Channel,
		User: n.User, Session: n.Session, Info: n.Info, Sessions: n.Sessions, Message: n.Message,
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
	case broker.NoticeLeft:
		return OnMemberLeft
	case broker.NoticeCounted:
		return OnSessionsChanged
	default:
		return HookEvent(notice) // see post
	}
}

// disconnectOf returns a disconnect notice. Its ID is the same even if it was queued twice.
func disconnectOf(n *broker.Notice) Notice {
	var f farewell
	_ = json.Unmarshal(n.Info, &f) // written by this package, maybe by another version of it
	reason := Reason{f.Code, f.Reason, f.Text}
	if f.Reason == "" {
		reason = Lost.With("the session's node is gone")
	}
	return Notice{
		ID: "disconnect " + n.Session, Event: OnDisconnect, Time: n.Time, Node: f.Node, Session: n.Session, User: n.User,
		Remote: f.Remote, Reason: reason,
	}
}
