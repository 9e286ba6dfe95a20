package gateway

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/hub"
	"tidegate/gateway/internal/pause"
)

// TraceQuestion says how a message is to be followed.
type TraceQuestion struct {
	User string        // whose sessions are told of one by one; empty: nobody's
	Wait time.Duration // for all sessions to be written to
}

// Trace is what became of one message that was published to be followed.
type Trace struct {
	Node     string          // that took it
	Began    time.Time       // when
	Publish  Ruling          // why it was taken, or was not
	Error    *Error          // that the publisher is told; nil: none
	Took     time.Duration   // for the broker to confirm it
	Position broker.Position // zero without history
	Nodes    []NodeTrace     // by name; none if the message did not go out
}

// NodeTrace is what became of a traced message on one node.
type NodeTrace struct {
	Node      string         `json:"node"`
	Listening int            `json:"listening"`          // sessions that are on the channel
	Heard     int            `json:"heard"`              // how often the message came to them
	First     time.Time      `json:"first,omitzero"`     // when, by the node's clock
	Written   int            `json:"written"`            // sessions whose connection has taken it
	Waiting   int            `json:"waiting"`            // for a connection to take it
	Conflated int            `json:"conflated"`          // a newer one has taken its place
	Skipped   int            `json:"skipped"`            // sessions that it is not for
	Unsaid    int            `json:"unsaid"`             // their protocol has no way to say it
	Ended     int            `json:"ended"`              // before they were written to
	Sessions  []SessionTrace `json:"sessions,omitempty"` // those of the user who was asked about, and some that were not written to
}

// SessionTrace is what became of a traced message for one session.
type SessionTrace struct {
	Session  string `json:"session"`
	User     string `json:"user,omitempty"`
	Protocol string `json:"protocol"`
	Fate     Fate   `json:"fate"`
	Why      string `json:"why,omitempty"`
}

// Fate is what becomes of a message for a session.
type Fate string

const (
	FateWritten    Fate = "written"
	FateWaiting    Fate = "waiting"
	FateConflated  Fate = "conflated"
	FateSkipped    Fate = "skipped"
	FateUnsaid     Fate = "unsaid"
	FateEnded      Fate = "ended"
	FateNotOn      Fate = "not_on_channel"
	FateNotReached Fate = "not_reached" // the message has not come to the node's audience
)

const (
	tracePause   = 50 * time.Millisecond
	maxTraceWait = 10 * time.Second
)

// Trace publishes a message on behalf of p, and follows it on every node that is
// alive: until each session that listens has been written to or will not be, for as
// long as q.Wait allows, 10 s at most. A message that is refused is an answer, too; an
// error says that a node could not be asked.
func (g *Gateway) Trace(ctx context.Context, p *Principal, c Publish, q TraceQuestion) (Trace, error) {
	explained, err := g.Explain(p, c.Channel)
	if err == nil && q.User != "" {
		err = checkUser(q.User)
	}
	if err != nil {
		return Trace{}, err
	}
	c.mark = newName()
	e := errand{Channel: c.Channel, User: q.User, Mark: c.mark, Payload: []byte(hub.SumOf(c.Payload))}
	defer func() {
		_ = askAll(context.WithoutCancel(ctx), g.Nodes, endTrace, e, func(struct{}) {}) // else they end it themselves
	}()
	if err := askAll(ctx, g.Nodes, beginTrace, e, func(struct{}) {}); err != nil {
		return Trace{}, err
	}
	t := Trace{Node: g.node, Began: time.Now(), Publish: explained.Publish}
	t.Position, err = g.Publish(ctx, p, c)
	t.Took = time.Since(t.Began)
	if err != nil {
		t.Error = ErrorOf(err)
		if t.Error.Code != Unavailable { // it has not gone out
			return t, nil
		}
	}
	t.Nodes, err = g.Nodes.followTrace(ctx, e, min(max(q.Wait, 0), maxTraceWait))
	return t, err
}

// followTrace asks the nodes until all is settled.
func (n *Nodes) followTrace(ctx context.Context, e errand, wait time.Duration) ([]NodeTrace, error) {
	for deadline := time.Now().Add(wait); ; {
		var nodes []NodeTrace
		if err := askAll(ctx, n, readTrace, e, func(of NodeTrace) { nodes = append(nodes, of) }); err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(nodes, NodeTrace.unsettled) || !time.Now().Before(deadline) || !pause.For(ctx, tracePause) {
			slices.SortFunc(nodes, func(a, b NodeTrace) int { return strings.Compare(a.Node, b.Node) })
			return nodes, nil
		}
	}
}

func (n NodeTrace) unsettled() bool { return n.Waiting > 0 || n.Listening > 0 && n.Heard == 0 }

// beginTraceHere follows a message on this node.
func (g *Gateway) beginTraceHere(e errand) error {
	if !g.hub.Trace(e.Channel, e.Mark, string(e.Payload)) {
		return failf(LimitExceeded, "%d messages are being traced, as many as can be: try again", hub.MostTraced)
	}
	return nil
}

// traceHere tells what has become of a traced message on this node.
func (g *Gateway) traceHere(e errand) NodeTrace {
	n := NodeTrace{Node: g.node, Listening: len(g.hub.Audience(e.Channel))}
	told := n.add(g.hub.Traced(e.Mark), e.User)
	if e.User == "" {
		return n
	}
	for _, s := range g.sessions.openOf(e.User) {
		if !told[s] {
			n.Sessions = append(n.Sessions, s.untraced(e.Channel))
		}
	}
	slices.SortFunc(n.Sessions, func(a, b SessionTrace) int { return cmp.Compare(a.Session, b.Session) })
	return n
}

// mostTold is how many sessions are told of that were not asked about.
const mostTold = 20

// add adds what is known of a message, and returns the sessions that it names.
func (n *NodeTrace) add(r hub.Report, user string) (told map[*Session]bool) {
	n.Heard, n.First = r.Heard, r.First
	told = make(map[*Session]bool)
	others := 0
	for _, c := range r.Copies {
		n.count(c.Fate)
		asked := user != "" && c.User == user
		if !asked && (c.Fate == hub.Written || others == mostTold) {
			continue
		}
		if !asked {
			others++
		}
		s := c.By.(*subscription).session
		told[s] = true
		n.Sessions = append(n.Sessions, s.traced(c))
	}
	return told
}

func (n *NodeTrace) count(f hub.Fate) {
	switch f {
	case hub.Written:
		n.Written++
	case hub.Waiting:
		n.Waiting++
	case hub.Conflated:
		n.Conflated++
	case hub.Skipped:
		n.Skipped++
	case hub.Unsaid:
		n.Unsaid++
	case hub.Ended:
		n.Ended++
	}
}

// fates are what becomes of a message for a session that it was sent to.
var fates = [...]Fate{
	hub.Written: FateWritten, hub.Waiting: FateWaiting, hub.Conflated: FateConflated,
	hub.Skipped: FateSkipped, hub.Unsaid: FateUnsaid, hub.Ended: FateEnded,
}

// traced is for a session that a copy of the message was for.
func (s *Session) traced(c hub.Copy) SessionTrace {
	t := SessionTrace{Session: s.id, User: c.User, Protocol: s.dialect.protocol.Name(), Fate: fates[c.Fate]}
	if why := s.out.Why(); c.Fate == hub.Ended && why != nil {
		t.Why = why.Error()
	}
	return t
}

// untraced is for a session that no frame of the message was for.
func (s *Session) untraced(channel string) SessionTrace {
	t := SessionTrace{Session: s.id, User: s.who().User, Protocol: s.dialect.protocol.Name(), Fate: FateNotReached}
	if !s.places.isOn(channel) {
		t.Fate = FateNotOn
	}
	return t
}
