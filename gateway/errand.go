package gateway

import (
	"context"
	"strings"
	"sync"
	"time"
)

// errand is something that a node asks all nodes to do, and to report of.
type errand struct {
	ID      string `json:"id"`
	From    string `json:"from"` // the node that asks
	Do      deed   `json:"do"`
	User    string `json:"user,omitempty"`
	Channel string `json:"channel,omitempty"`
	Match   string `json:"match,omitempty"`
	Cursor  string `json:"cursor,omitempty"`
}

type deed string

const (
	findSessions    deed = "find_sessions"
	disconnectUser  deed = "disconnect"
	subscribeUser   deed = "subscribe"
	unsubscribeUser deed = "unsubscribe"
	countChannels   deed = "count_channels"
	describeNode    deed = "describe_node"
	forgetHistory   deed = "forget_history"
)

// report is a part of a node's answer to an errand. What the parts say adds up,
// and so does what the nodes say.
type report struct {
	ID   string `json:"id"`
	Node string `json:"node"`
	Part int    `json:"part"` // counts from 0, so that a lost one is noticed
	Done bool   `json:"done,omitempty"`
	Code Code   `json:"code,omitempty"` // with Done: why not all of it was done
	Why  string `json:"why,omitempty"`
	findings
}

// findings are what came out of an errand, each of its own kinds of deed.
type findings struct {
	Reached  int           `json:"reached,omitempty"` // sessions
	Sessions []SessionInfo `json:"sessions,omitempty"`
	Channels []headcount   `json:"channels,omitempty"`
	Nodes    []NodeInfo    `json:"nodes,omitempty"`
}

const (
	errandPatience = time.Second            // without a word from a node that is alive
	errandLimit    = 10 * time.Second       // for a node to do its part
	settleTime     = 200 * time.Millisecond // for a new node to hear who is there
	errandQueue    = 256
	errandRunners  = 4
	reportBytes    = 32 << 10 // about what a part of a report holds
)

// do runs an errand on this node. It returns what it found, but for what it has
// told by say before, in parts that are not too large for one message. An error
// says that not all of it was done.
func (g *Gateway) do(ctx context.Context, e *errand, say func(findings) error) (findings, error) {
	switch e.Do {
	case findSessions:
		return g.findSessions(e.User, say)
	case disconnectUser:
		return g.disconnectHere(e.User), nil
	case subscribeUser:
		return g.subscribeHere(ctx, e.User, e.Channel)
	case unsubscribeUser:
		return g.unsubscribeHere(e.User, e.Channel), nil
	case countChannels:
		return g.countChannels(e.Match, say)
	case describeNode:
		return findings{Nodes: []NodeInfo{g.cluster.hello(stating).info()}}, nil
	case forgetHistory:
		return findings{}, g.forgetHere(e.Channel, e.Cursor)
	}
	return findings{}, failf(Unavailable, "the node %s has another version and cannot %s", g.node, e.Do)
}

// errands are those that this node gives to others, and those that it was given.
type errands struct {
	given chan errand

	// Guarded by mu.
	mu       sync.Mutex
	underWay map[string]*gathering // by errand.ID
}

func newErrands() *errands {
	return &errands{given: make(chan errand, errandQueue), underWay: make(map[string]*gathering)}
}

// askAll is ask, where it is an error that a node is silent.
func (c *cluster) askAll(ctx context.Context, e errand, add func(findings)) error {
	silent, err := c.ask(ctx, e, add)
	if err == nil && len(silent) > 0 {
		err = failf(Unavailable, "no answer in time from %s, where it may or may not have happened: try again", strings.Join(silent, ", "))
	}
	return err
}

// ask runs an errand on all nodes that are alive, and tells add what they found,
// one call at a time. It returns when all have done it, or none of them has said
// anything for a second: then silent are those that owe an answer. An error says
// that not all of it was done.
func (c *cluster) ask(ctx context.Context, e errand, add func(findings)) (silent []string, err error) {
	if err := c.settle(ctx); err != nil {
		return nil, err
	}
	e.ID, e.From = newName(), c.gateway.node
	w := newGathering(c.gateway.alive(), add)
	c.errands.begin(e.ID, w)
	defer c.errands.end(e.ID)
	defer w.end() // an errand that was not confirmed may be answered all the same
	if c.tell(ctx, nodesChannel, dispatch{Errand: &e}) != nil {
		return nil, failf(Unavailable, "the broker did not confirm that the other nodes were asked: try again")
	}
	_ = c.perform(ctx, &e, func(part report) error {
		w.hear(part)
		return ctx.Err()
	})
	return w.wait(ctx)
}

// settle waits until this node has had the time to learn who is there.
func (c *cluster) settle(ctx context.Context) error {
	select {
	case <-c.joined:
	default:
		return failf(Unavailable, "%v: try again", errJoining)
	}
	if !pauseUntil(ctx, c.joinedAt.Add(settleTime)) {
		return failf(Unavailable, "the request ended before the node knew the others")
	}
	return nil
}

func (r *errands) begin(id string, w *gathering) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.underWay[id] = w
}

func (r *errands) end(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.underWay, id)
}

func (r *errands) of(id string) *gathering {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.underWay[id]
}

// hear takes a part of an answer. One that is too late is ignored.
func (r *errands) hear(part report) {
	if w := r.of(part.ID); w != nil {
		w.hear(part)
	}
}

// lost says that a node is gone, and with it its sessions: it owes nothing any
// more.
func (r *errands) lost(node string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.underWay {
		w.release(node)
	}
}

// take accepts an errand of another node, if there is room.
func (c *cluster) take(e errand) {
	if e.From == c.gateway.node {
		return
	}
	select {
	case c.errands.given <- e:
	default:
		c.gateway.log.Warn("too many errands for other nodes: one is not done", "from", e.From)
	}
}

// runErrands does what other nodes ask for until ctx ends.
func (c *cluster) runErrands(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-c.errands.given:
			c.runErrand(ctx, &e)
		}
	}
}

func (c *cluster) runErrand(ctx context.Context, e *errand) {
	ctx, cancel := context.WithTimeout(ctx, errandLimit)
	defer cancel()
	err := c.perform(ctx, e, func(part report) error {
		return c.tell(ctx, nodeChannel(e.From), dispatch{Report: &part})
	})
	if err != nil {
		c.gateway.log.Warn("an errand was not reported", "from", e.From, "do", e.Do, "error", err)
	}
}

// perform does an errand here and tells of it part by part. It returns the error of
// the last telling.
func (c *cluster) perform(ctx context.Context, e *errand, tell func(report) error) error {
	part := report{ID: e.ID, Node: c.gateway.node}
	say := func(found findings) error {
		part.findings = found
		err := tell(part)
		part.Part++
		return err
	}
	found, err := c.gateway.do(ctx, e, say)
	if err != nil {
		told := ErrorOf(err)
		part.Code, part.Why = told.Code, told.Message
		c.gateway.log.Warn("not all of an errand is done", "do", e.Do, "error", err)
	}
	part.Done = true
	return say(found)
}
