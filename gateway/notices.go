package gateway

import (
	"context"
	"encoding/json"
	"slices"
	"sync/atomic"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/attendance"
)

// Receiver is a backend that gets notices about some channels, in addition to that of Hooks.
type Receiver struct {
	// Name identifies the queue of its notices: letters, digits, _ and -. It is the same on
	// all nodes.
	Name string

	Of    func(channel string) bool // whether the backend wants notices about a channel; nil: about all
	Wants func(HookEvent) bool      // as Hooks.Wants. Only Hooks are told of a disconnect

	// Tell is as Hooks.Tell.
	Tell func(ctx context.Context, notices []Notice) error
}

// Notice describes something that happened.
type Notice struct {
	ID       string // stays the same when the notice is sent again
	Event    HookEvent
	Time     time.Time
	Node     string // for a disconnect the session's node, else the node that sends the notice
	Session  string // for a disconnect, a member that is a session, a message, and nothing recent
	Remote   string // for a disconnect, as is Reason
	Reason   Reason
	User     string          // for a disconnect or a member, or who published or subscribed
	Channel  string          // for all events but a disconnect
	Info     json.RawMessage // for a member; nil: none
	Sessions int             // sessions on the channel after the event, in the whole cluster; not for a message or nothing recent
	Message  *broker.Message // the published message, without a position; nil for other events
}

// notices are what backends are told. They wait in queues of the broker, one for each backend. All
// methods are safe for concurrent use.
type notices struct {
	// Immutable.
	node       string
	hooks      Hooks                  // nil: only Receivers are told
	attendance *attendance.Attendance // nil: nobody is told

	receivers atomic.Pointer[[]receiver] // nil: none
}

// receiver is a Receiver, with what the broker is to queue for it.
type receiver struct {
	Receiver
	wants broker.Wants
}

// setReceivers sets who gets notices, in addition to the backend of the hooks.
func (n *notices) setReceivers(list []Receiver) {
	if h := n.hooks; h != nil && slices.ContainsFunc(noticeEvents(), h.Wants) {
		list = append([]Receiver{{Wants: h.Wants, Tell: h.Tell}}, list...)
	}
	receivers, lines := make([]receiver, len(list)), make([]attendance.Line, len(list))
	for i, r := range list {
		receivers[i] = newReceiver(r)
		lines[i] = attendance.Line{Wants: receivers[i].wants, Deliver: func(ctx context.Context, line []broker.Notice) error {
			return n.deliver(ctx, &r, line)
		}}
	}
	n.receivers.Store(&receivers)
	n.attendance.SetLines(lines)
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

// want reports whether some receiver wants notices of an event on a channel.
func (n *notices) want(event HookEvent, channel string) bool {
	return slices.ContainsFunc(n.all(), func(r receiver) bool { return r.Wants(event) && r.hears(channel) })
}

// wantSessions reports whether some receiver wants notices of sessions that have ended.
func (n *notices) wantSessions() bool {
	return slices.ContainsFunc(n.all(), func(r receiver) bool { return r.wants.Sessions })
}

// wantCounts reports whether some receiver wants to know if, or how many, sessions are on a
// channel.
func (n *notices) wantCounts(channel string) bool {
	return slices.ContainsFunc(n.all(), func(r receiver) bool { return (r.wants.Channels || r.wants.Counts) && r.hears(channel) })
}

func (n *notices) all() []receiver {
	if list := n.receivers.Load(); list != nil {
		return *list
	}
	return nil
}

// hears reports whether it gets notices about a channel.
func (r *receiver) hears(channel string) bool { return r.Of == nil || r.Of(channel) }

// post queues a notice for each receiver that wants it.
func (n *notices) post(event HookEvent, of broker.Notice) {
	of.Event = string(event)
	for _, r := range n.all() {
		if r.Wants(event) && r.hears(of.Channel) {
			of.Line = r.Name
			n.attendance.Post(of)
		}
	}
}

// postPublished returns a wrapper of done that posts a notice if the publish has succeeded.
func (n *notices) postPublished(m broker.Message, done func(broker.Position, error)) func(broker.Position, error) {
	return func(position broker.Position, err error) {
		if err == nil {
			m.Position = position
			n.post(OnPublished, broker.Notice{Channel: m.Channel, User: m.User, Session: m.Session, Message: &m})
		}
		done(position, err)
	}
}

// deliver sends the receiver those of the notices that it wants.
func (n *notices) deliver(ctx context.Context, to *Receiver, line []broker.Notice) error {
	var wanted []Notice
	for i := range line {
		if notice := n.noticeOf(&line[i]); to.Wants(notice.Event) {
			wanted = append(wanted, notice)
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	return to.Tell(ctx, wanted)
}

func (n *notices) noticeOf(of *broker.Notice) Notice {
	if broker.IsSessionsChannel(of.Channel) {
		return disconnectOf(of)
	}
	return Notice{
		ID: of.ID, Event: eventOf(of.Event), Time: of.Time, Node: n.node, Channel: of.Channel,
		User: of.User, Session: of.Session, Info: of.Info, Sessions: of.Sessions, Message: of.Message,
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

// farewell is stored with a registered session, so that the backend can be told when it ends.
// Code, Reason and Text are empty if the node died before it could say why.
type farewell struct {
	Node   string `json:"node"`
	Remote string `json:"remote,omitempty"`
	Code   int    `json:"code,omitempty"`
	Reason string `json:"reason,omitempty"`
	Text   string `json:"text,omitempty"`
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
