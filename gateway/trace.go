package gateway

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"tidegate/gateway/internal/hub"
	"tidegate/gateway/internal/pause"
)

// TraceQuestion says how to trace a message.
type TraceQuestion struct {
	User string        // list this user's sessions individually; empty: none
	Wait time.Duration // how long to wait for all sessions to be written to
}

// Trace is what happened to a traced message.
type Trace struct {
	Node    string      `json:"node"`            // the node that published it
	Time    int64       `json:"time"`            // when, in milliseconds since 1970
	Publish Ruling      `json:"publish"`         // why it was accepted or refused
	Error   *Error      `json:"error,omitempty"` // what the publisher is told; nil: no error
	Took    float64     `json:"took"`            // milliseconds until the broker confirmed it
	Cursor  string      `json:"cursor"`          // empty without history
	Nodes   []NodeTrace `json:"nodes"`           // sorted by name; none if the message was refused
}

// NodeTrace is what happened to a traced message on one node.
type NodeTrace struct {
	Node      string         `json:"node"`
	Listening int            `json:"listening"`      // sessions on the channel
	Heard     int            `json:"heard"`          // how often the message reached them
	Time      int64          `json:"time,omitempty"` // when it first did, in milliseconds since 1970, by the node's clock
	Written   int            `json:"written"`        // sessions whose connection has accepted it
	Waiting   int            `json:"waiting"`        // sessions whose connection has yet to accept it
	Conflated int            `json:"conflated"`      // sessions for which a newer message has replaced it
	Skipped   int            `json:"skipped"`        // sessions that it is not meant for
	Unsaid    int            `json:"unsaid"`         // sessions whose protocol cannot express it
	Ended     int            `json:"ended"`          // sessions that ended before they were written to
	Sessions  []SessionTrace `json:"sessions"`       // those of TraceQuestion.User, and some of the others that were not written to
}

// SessionTrace is what happened to a traced message for one session.
type SessionTrace struct {
	Session  string `json:"session"`
	User     string `json:"user,omitempty"`
	Protocol string `json:"protocol"`
	Fate     Fate   `json:"fate"`
	Why      string `json:"why,omitempty"`
}

// Fate is what happens to a message for a session: one of those of the hub, or of these.
type Fate = hub.Fate

const (
	FateNotOn      Fate = "not_on_channel"
	FateNotReached Fate = "not_reached" // the message has not reached the channel's audience on the node
)

const (
	tracePause   = 50 * time.Millisecond
	maxTraceWait = 10 * time.Second
)

// Trace publishes a message on behalf of p and traces it on every live node, until each
// subscribed session has been written to or will not be, or for q.Wait, at most 10 s. A
// refused message is reported in the result; an error means that a node could not be asked.
func (g *Gateway) Trace(ctx context.Context, p *Principal, c Publish, q TraceQuestion) (Trace, error) {
	explained, err := g.Explain(p, c.Channel)
	if err == nil && q.User != "" {
		err = checkUser(q.User)
	}
	if err != nil {
		return Trace{}, err
	}
	c.mark = newName()
	e := errand{Whose: Whose{User: q.User}, Grant: Grant{Channel: c.Channel}, Mark: c.mark, Payload: []byte(hub.SumOf(c.Payload))}
	defer func() {
		_ = askAll(context.WithoutCancel(ctx), g.Nodes, endTrace, e, func(struct{}) {}) // on an error, they end it themselves
	}()
	if err := askAll(ctx, g.Nodes, beginTrace, e, func(struct{}) {}); err != nil {
		return Trace{}, err
	}
	began := time.Now()
	position, err := g.Publish(ctx, p, c)
	t := Trace{
		Node: g.node, Time: began.UnixMilli(), Publish: explained.Publish, Took: milliseconds(time.Since(began)),
		Cursor: position.String(), Nodes: []NodeTrace{}, // its JSON is a list
	}
	if err != nil {
		t.Error = ErrorOf(err)
		if t.Error.Code != Unavailable { // it was not published
			return t, nil
		}
	}
	t.Nodes, err = g.Nodes.followTrace(ctx, e, min(max(q.Wait, 0), maxTraceWait))
	return t, err
}

// followTrace asks the nodes repeatedly until all is settled or wait is over.
func (n *Nodes) followTrace(ctx context.Context, e errand, wait time.Duration) ([]NodeTrace, error) {
	for deadline := time.Now().Add(wait); ; {
		var nodes []NodeTrace
		asking, letGo := context.WithCancel(ctx)
		err := askAll(asking, n, readTrace, e, func(of NodeTrace) { nodes = append(nodes, of) })
		if err == nil && slices.ContainsFunc(nodes, NodeTrace.unsettled) && time.Now().Before(deadline) && pause.For(ctx, tracePause) {
			letGo()
			continue
		}
		context.AfterFunc(ctx, letGo) // the caller needs the last answers
		slices.SortFunc(nodes, func(a, b NodeTrace) int { return strings.Compare(a.Node, b.Node) })
		return nodes, err
	}
}

func (n NodeTrace) unsettled() bool { return n.Waiting > 0 || n.Listening > 0 && n.Heard == 0 }

// beginTraceHere begins to trace a message on this node.
func (g *Gateway) beginTraceHere(e errand) error {
	if !g.hub.Trace(e.Channel, e.Mark, string(e.Payload)) {
		return failf(LimitExceeded, "%d messages are being traced, as many as can be: try again", hub.MostTraced)
	}
	return nil
}

// traceHere returns what has happened to a traced message on this node.
func (g *Gateway) traceHere(e errand) NodeTrace {
	n := NodeTrace{Node: g.node, Listening: len(g.hub.Audience(e.Channel)), Sessions: []SessionTrace{}}
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

// mostTold is the most sessions of other users that are listed.
const mostTold = 20

// add adds a report of the hub and returns the sessions that it lists.
func (n *NodeTrace) add(r hub.Report, user string) (told map[*Session]bool) {
	if n.Heard = r.Heard; n.Heard > 0 {
		n.Time = r.First.UnixMilli()
	}
	told = make(map[*Session]bool)
	others := 0
	for _, c := range r.Copies {
		n.count(c.Fate)
		asked := user != "" && c.By.Who().User == user
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

func (n *NodeTrace) count(f Fate) {
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

// traced returns the trace of a session that a copy of the message was sent to.
func (s *Session) traced(c hub.Copy) SessionTrace {
	t := SessionTrace{Session: s.id, User: c.By.Who().User, Protocol: s.dialect.protocol.Name(), Fate: c.Fate}
	if why := s.out.Why(); c.Fate == hub.Ended && why != nil {
		t.Why = why.Error()
	}
	return t
}

// untraced returns the trace of a session that no copy of the message was sent to.
func (s *Session) untraced(channel string) SessionTrace {
	t := SessionTrace{Session: s.id, User: s.who().User, Protocol: s.dialect.protocol.Name(), Fate: FateNotReached}
	if !s.places.isOn(channel) {
		t.Fate = FateNotOn
	}
	return t
}
