package cluster

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"slices"
	"strings"

	"tidegate/gateway/internal/pause"
)

// AskAll is like Ask, but a silent node is an error.
func (c *Cluster) AskAll(ctx context.Context, topic string, body any, add func(json.RawMessage) error) error {
	silent, err := c.Ask(ctx, topic, body, add)
	if err == nil && len(silent) > 0 {
		err = failf("no answer in time from %s, where it may or may not have happened: try again", strings.Join(silent, ", "))
	}
	return err
}

// Ask sends a question to all live nodes, including this one, and calls add with each part
// of their answers, one call at a time. It returns when all nodes have answered, when no
// node has said anything for a second, when ctx ends, or when add fails. silent lists the
// nodes whose answers are incomplete. A non-nil err, which is a *Failure or add's error,
// means that not everything was done.
func (c *Cluster) Ask(ctx context.Context, topic string, body any, add func(json.RawMessage) error) (silent []string, err error) {
	if err := c.awaitOthers(ctx); err != nil {
		return nil, err
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		return nil, failf("ask for %s: %v", topic, err)
	}
	if !c.asking.asked.take(len(encoded)) {
		return nil, failf("this node asks the others as much as it can: try again")
	}
	defer c.asking.asked.give(len(encoded))
	q := question{ID: rand.Text(), From: c.config.Node, Topic: topic, Body: encoded}
	g := c.asking.begin(q.ID, c.Alive(), add)
	defer c.asking.end(q.ID, g) // even a question that the broker did not confirm may be answered
	if c.send(ctx, nodesChannel, dispatch{Question: &q}) != nil {
		return nil, failf("the broker did not confirm that the other nodes were asked: try again")
	}
	_ = c.perform(ctx, &q, func(part answer) error {
		g.hear(part)
		return ctx.Err()
	})
	return g.wait(ctx)
}

// awaitOthers blocks until this node has had time to learn which nodes are alive.
func (c *Cluster) awaitOthers(ctx context.Context) error {
	if err := c.Joined(); err != nil {
		return failf("%v: try again", err)
	}
	if !pause.Until(ctx, c.joinedAt.Add(greetTime)) {
		return failf("the request ended before the node knew the others")
	}
	return nil
}

// take gives a question from another node to the Ear of its topic or, if there is none, queues it.
// It drops the question if there is no room.
func (c *Cluster) take(q question) {
	if q.From == c.config.Node {
		return
	}
	if _, heard := c.ears.Load(q.Topic); heard {
		c.hearOther(&q)
		return
	}
	queue := c.asking.others
	if slices.Contains(c.config.ByClients, q.Topic) {
		queue = c.asking.byClients
	}
	if !queue.put(q, len(q.Body)) {
		c.unanswered.Do(func() {
			c.config.Log.Warn("too many questions of other nodes: one is not answered, and others may not be", "from", q.From, "topic", q.Topic)
		})
	}
}

// answerOthers answers the questions of other nodes in a queue until ctx ends.
func (c *Cluster) answerOthers(ctx context.Context, queue *queue[question]) {
	for {
		select {
		case <-ctx.Done():
			return
		case q := <-queue.waiting:
			c.config.Wall.Do("answer another node", func() { c.answerOther(ctx, &q) })
			queue.room.give(len(q.Body))
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

// perform answers a question part by part. It holds each part back until the next one
// exists, so that the last one can be marked as Done. It returns the error of the last send.
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
