package cluster

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"strings"
	"time"

	"tidegate/broker/lock"
)

// Answerer does what a node asks, and tells by say what came of it: as often as it
// takes, each time no more than about PartBytes as JSON. What the parts say adds
// up, and so does what the nodes say. An error says that not all of it was done.
type Answerer func(ctx context.Context, body json.RawMessage, say func(any) error) error

// PartBytes is about what one message between nodes holds.
const PartBytes = 32 << 10

// question is what a node asks of all nodes.
type question struct {
	ID    string          `json:"id"`
	From  string          `json:"from"` // the node that asks
	Topic string          `json:"topic"`
	Body  json.RawMessage `json:"body,omitempty"`
}

// answer is a part of what a node answers.
type answer struct {
	ID   string          `json:"id"`
	Node string          `json:"node"`
	Part int             `json:"part"` // counts from 0, so that a lost one is noticed
	Done bool            `json:"done,omitempty"`
	Code string          `json:"code,omitempty"` // with Done: why not all of it was done
	Why  string          `json:"why,omitempty"`
	Body json.RawMessage `json:"body,omitempty"`
}

const (
	askPatience  = time.Second            // without a word from a node that is alive
	answerLimit  = 10 * time.Second       // for a node to do its part
	settleTime   = 200 * time.Millisecond // for a new node to hear who is there
	questionRoom = 256
	answerers    = 4
)

// asking is the questions of this node that are under way, and those of other
// nodes that wait.
type asking struct {
	given chan question

	// Guarded by mu.
	mu       lock.Mutex[lock.Questions]
	underWay map[string]*gathering // by question.ID
}

func newAsking() *asking {
	return &asking{given: make(chan question, questionRoom), underWay: make(map[string]*gathering)}
}

// AskAll is Ask, where it is an error that a node is silent.
func (c *Cluster) AskAll(ctx context.Context, topic string, body any, add func(json.RawMessage)) error {
	silent, err := c.Ask(ctx, topic, body, add)
	if err == nil && len(silent) > 0 {
		err = failf("no answer in time from %s, where it may or may not have happened: try again", strings.Join(silent, ", "))
	}
	return err
}

// Ask asks all nodes that are alive, this one included, and tells add what they
// say, one call at a time. It returns when all have answered, when none of them has
// said anything for a second, or when ctx ends: then silent are those that owe an
// answer. An error, a *Failure, says that not all of it was done.
func (c *Cluster) Ask(ctx context.Context, topic string, body any, add func(json.RawMessage)) (silent []string, err error) {
	if err := c.settle(ctx); err != nil {
		return nil, err
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		return nil, failf("ask for %s: %v", topic, err)
	}
	q := question{ID: rand.Text(), From: c.config.Node, Topic: topic, Body: encoded}
	g := newGathering(c.Alive(), add)
	c.asking.begin(q.ID, g)
	defer c.asking.end(q.ID)
	defer g.end() // a question that was not confirmed may be answered all the same
	if c.send(ctx, nodesChannel, dispatch{Question: &q}) != nil {
		return nil, failf("the broker did not confirm that the other nodes were asked: try again")
	}
	_ = c.perform(ctx, &q, func(part answer) error {
		g.hear(part)
		return ctx.Err()
	})
	return g.wait(ctx)
}

// settle waits until this node has had the time to learn who is there.
func (c *Cluster) settle(ctx context.Context) error {
	if err := c.Joined(); err != nil {
		return failf("%v: try again", err)
	}
	known := time.NewTimer(time.Until(c.joinedAt.Add(settleTime)))
	defer known.Stop()
	select {
	case <-known.C:
		return nil
	case <-ctx.Done():
		return failf("the request ended before the node knew the others")
	}
}

func (a *asking) begin(id string, g *gathering) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.underWay[id] = g
}

func (a *asking) end(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.underWay, id)
}

// hear takes a part of an answer. One that is too late is ignored.
func (a *asking) hear(part answer) {
	a.mu.Lock()
	g := a.underWay[part.ID]
	a.mu.Unlock()
	if g != nil {
		g.hear(part)
	}
}

// lost says that a node is gone: it owes nothing any more.
func (a *asking) lost(node string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, g := range a.underWay {
		g.release(node)
	}
}

// take accepts a question of another node, if there is room.
func (c *Cluster) take(q question) {
	if q.From == c.config.Node {
		return
	}
	select {
	case c.asking.given <- q:
	default:
		c.config.Log.Warn("too many questions of other nodes: one is not answered", "from", q.From)
	}
}

// answerOthers does what other nodes ask for until ctx ends.
func (c *Cluster) answerOthers(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case q := <-c.asking.given:
			c.config.Wall.Do("answer another node", func() { c.answerOther(ctx, &q) })
		}
	}
}

func (c *Cluster) answerOther(ctx context.Context, q *question) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	err := c.perform(ctx, q, func(part answer) error {
		return c.send(ctx, nodeChannel(q.From), dispatch{Answer: &part})
	})
	if err != nil {
		c.config.Log.Warn("a question was not answered", "from", q.From, "topic", q.Topic, "error", err)
	}
}

// perform answers a question part by part. A part is sent when the next one is
// there, so that the last one can say that it is. It returns the error of the last
// sending.
func (c *Cluster) perform(ctx context.Context, q *question, send func(answer) error) error {
	part := answer{ID: q.ID, Node: c.config.Node}
	held := false
	say := func(body any) (err error) {
		if held {
			err = send(part)
			part.Part++
		}
		if err == nil {
			part.Body, err = json.Marshal(body)
		}
		held = true
		return err
	}
	if err := c.answer(ctx, q, say); err != nil {
		why := c.config.Explain(err)
		part.Code, part.Why = why.Code, why.Text
		c.config.Log.Warn("not all that was asked is done", "topic", q.Topic, "error", err)
	}
	part.Done = true
	return send(part)
}

func (c *Cluster) answer(ctx context.Context, q *question, say func(any) error) error {
	do := c.config.Answers[q.Topic]
	if do == nil {
		return failf("the node %s has another version and knows nothing of %s", c.config.Node, q.Topic)
	}
	return do(ctx, q.Body, say)
}
