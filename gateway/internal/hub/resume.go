package hub

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/outbox"
	"tidegate/gateway/internal/pause"
	"tidegate/gateway/internal/timeline"
)

// resumption adds a session to a channel's audience after sending it messages from the
// history. It waits whenever the outbox has no room. The session joins the audience under
// the same lock under which the last of these messages is queued, so that none is missing
// and none comes twice. A session that is in the audience already leaves it with the reply,
// which also ends an earlier resumption. News other than a gap does not wait for any of this.
type resumption struct {
	*Join

	start    Start
	replied  bool
	later    bool            // it goes on after what the session was sent at once with the reply
	failures int             // consecutive reads that have failed
	number   uint32          // of the reply: a later one of the same subscription has a larger one
	before   *broker.Message // the last message sent since the reply; nil if there is none
	nothing  bool            // it asked for recent messages and has been sent none yet
}

func (c *resumption) out() *outbox.Outbox { return c.Sub.by.Outbox() }

var (
	errLater  = errors.New("the resumption goes on later")
	errUntold = errors.New("the session or the subscription ends, since a loss cannot be told otherwise")
)

// run sends the reply and what is at hand. The rest goes on later: the client may be slow, and
// its other commands do not wait. After the reply, an error would not reach the client, so run
// retries reads that fail, and lets those of other channels go first: their history may be
// on a Redis that answers.
func (c *resumption) run(ctx context.Context) error {
	for {
		ready, err := c.proceed()
		switch {
		case errors.Is(err, errLater):
			c.Of.GoOn(c.number, c.goOn)
			return nil
		case errors.Is(err, errUntold), err == nil && ready == nil:
			return nil
		case err != nil:
			return err
		}
		if err = ready(ctx); err == nil {
			c.failures = 0
			continue
		}
		if !c.replied || !c.out().Open() || !pause.For(ctx, pause.Backoff(c.failures)) {
			return fmt.Errorf("resume on %q: %w", c.ch.name, err)
		}
		c.failures++
		c.Of.GoOn(c.number, c.goOn)
		return nil
	}
}

// goOn does the rest of the resumption.
func (c *resumption) goOn() {
	c.later = true
	c.noteEnd(c.run(c.ch.all.Life))
}

// noteEnd ends the session of a client that has had its reply, but cannot be sent what it
// missed. The client comes back with its cursor.
func (c *resumption) noteEnd(err error) {
	if err != nil && c.replied && !errors.Is(err, ErrGone) {
		c.Sub.by.Dismiss(Dismissal{Why: ErrMissed})
	}
}

// proceed sends what this node has at hand. It returns a function that waits for more
// messages or for room, or nil if the session has joined the audience.
func (c *resumption) proceed() (ready func(context.Context) error, err error) {
	ch := c.ch
	ch.mu.Lock()
	defer ch.mu.Unlock()
	for {
		switch {
		case c.Sub.gone:
			return nil, ErrGone
		case c.replied && ch.newcomers[c.Sub] != c:
			return nil, nil
		}
		step := ch.Step(c.from, time.Now())
		if step.Do != timeline.Give {
			return c.provide(step)
		}
		room, err := c.give(step)
		switch {
		case err != nil:
			return nil, err
		case room != nil && !c.later:
			return nil, errLater
		case room != nil:
			return untilClosed(room, outbox.StallPatience), nil
		case step.Present:
			c.join()
			return nil, nil
		}
	}
}

// provide returns a function that does what the step asks for before the next step. The
// caller must hold ch.mu.
func (c *resumption) provide(step timeline.Step) (ready func(context.Context) error, err error) {
	ch := c.ch
	switch {
	case c.replied && !c.later:
		return nil, errLater
	case step.Do == timeline.Pause:
		return func(ctx context.Context) error { pause.For(ctx, step.Wait); return ctx.Err() }, nil
	case step.Do == timeline.Read:
		return c.readOn(), nil
	case step.Do == timeline.Look:
		ch.startRepair()
	}
	return untilClosed(ch.repairing.done, ReadTimeout), nil
}

// give sends the entries of a step. If the outbox has no room, it returns a channel to wait
// for.
func (c *resumption) give(step timeline.Step) (room <-chan struct{}, err error) {
	if c.Whole && step.Lost && !c.replied {
		c.count(step)
		return nil, ErrLost
	}
	if !c.sayBegin(step) {
		return nil, errUntold
	}
	for _, e := range step.Entries {
		if room, err := c.send(e); err != nil || room != nil {
			return room, err
		}
	}
	return nil, nil
}

// sayBegin sends the reply, if it has not been sent. A loss found after the reply is sent as
// a gap.
func (c *resumption) sayBegin(step timeline.Step) (said bool) {
	if c.replied {
		return !step.Lost || c.say(News{Kind: Gap})
	}
	ch := c.ch
	c.replied, c.number = true, ch.all.resumed.Add(1)
	c.Sub.tellBy(c.Dialect)
	c.count(step)
	if !c.encoded {
		c.start.Recovered = c.start.Resumed && !step.Lost
		c.start.Position, c.start.After = ch.at(), step.After
		c.Of.Encode(c.start)
	}
	c.queued(c.out().QueueLatest(ch, ch.all.Outboxes)) // or it would come after what is sent from now on
	if !c.Of.Reply() || !c.sayAll(c.roll.end()) {
		return false
	}
	c.Sub.withdraw()
	ch.newcome(c)
	c.Sub.attend()
	return true
}

// count updates the counters for a client that came with a cursor and had missed something.
func (c *resumption) count(step timeline.Step) {
	counters := &c.ch.all.Counters
	switch {
	case !c.start.Resumed:
	case step.Lost:
		counters.NotRecovered.Inc()
	case len(step.Entries) > 0 || !step.Present:
		counters.Recovered.Inc()
	}
}

// send queues one message. If the outbox has no room, it returns a channel to wait for.
func (c *resumption) send(e *timeline.Entry) (room <-chan struct{}, err error) {
	if c.Sub.skips(&e.Message) {
		c.from.Pass(e)
		return nil, nil
	}
	frame, err := c.Sub.dialect.resumed().frameOf(e, c.before)
	if err != nil {
		return nil, err
	}
	boxes := c.ch.all.Outboxes
	if room := c.out().Room(len(frame)+boxes.Limit/2, boxes); room != nil { // the other half is for live messages
		return room, nil
	}
	if frame != nil {
		c.push(frame)
		c.before = &e.Message
	}
	c.nothing = false
	c.from.Take(e)
	return nil, nil
}

// join adds the session to the audience.
func (c *resumption) join() {
	if c.ch.Arrive(c.from) && !c.say(News{Kind: Gap}) {
		return
	}
	if c.nothing && !c.say(News{Kind: NothingRecent}) {
		return
	}
	c.Sub.join()
}

// say sends the client news of the channel. If it cannot, the resumption ends.
func (c *resumption) say(n News) (said bool) {
	said = c.sayAll([]News{n})
	if !said {
		c.Sub.withdraw()
	}
	return said
}

// push queues a message's frame.
func (c *resumption) push(frame []byte) {
	c.queued(c.out().PushMessage(frame, c.ch.all.Outboxes, outbox.Receipt{}))
}

func (c *resumption) queued(v outbox.Verdict) {
	switch v {
	case outbox.Wakes:
		c.ch.all.Line.Queue(c.out())
	case outbox.Full:
		c.Sub.by.Dismiss(Dismissal{Why: ErrSlow})
	}
}

// failureHolds is how long clients that have had their reply do not retry a read that failed
// for another client.
const failureHolds = 250 * time.Millisecond

// readOn returns a function that reads what follows the reader's cursor, or waits for
// another client's read of this channel. The caller must hold ch.mu.
func (c *resumption) readOn() func(context.Context) error {
	ch := c.ch
	if reading := ch.reading; reading != nil {
		return func(ctx context.Context) error {
			if err := pause.Await(ctx, reading.done, ReadTimeout); err != nil {
				return err
			}
			return reading.err
		}
	}
	if failed := ch.failed; failed != nil && c.replied && time.Since(failed.end) < failureHolds {
		return func(context.Context) error { return failed.err }
	}
	turn := c.Of.Turn()
	if !turn.Try() {
		return turn.Wait
	}
	reading := &rangeRead{done: make(chan struct{})}
	ch.reading = reading
	after, most := ch.AskFor(c.from)
	return func(ctx context.Context) error {
		defer turn.End()
		page, err := ch.all.Read(ctx, ch.name, after, most)
		c.keep(reading, page, err)
		return err
	}
}

// keep ends a read, and stores its result.
func (c *resumption) keep(reading *rangeRead, page broker.Page, err error) {
	ch := c.ch
	ch.mu.Lock()
	defer ch.mu.Unlock()
	defer close(reading.done)
	ch.reading = nil
	switch {
	case err != nil:
		reading.err, reading.end = err, time.Now()
		ch.failed = reading
	case !reading.outdated && ch.Keep(c.from, page, time.Now()):
		ch.startRepair()
	}
}

// untilClosed returns a function that waits until done is closed, for at most atMost.
func untilClosed(done <-chan struct{}, atMost time.Duration) func(context.Context) error {
	return func(ctx context.Context) error { return pause.Await(ctx, done, atMost) }
}
