package hub

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/attendance"
	"tidegate/gateway/internal/outbox"
	"tidegate/gateway/internal/pause"
	"tidegate/gateway/internal/timeline"
)

// resumption adds a session to a channel's audience after sending it messages from the
// history. It waits whenever the outbox has no room. The session joins the audience under
// the same lock under which the last of these messages is queued, so that none is missing
// and none comes twice. A session that is in the audience already leaves it with the reply,
// which also ends an earlier resumption.
type resumption struct {
	// Fixed at birth.
	channel *Channel
	sub     *Subscription
	of      Joiner
	dialect *Dialect // encodes the client's messages after the reply; nil means no change
	reader  *timeline.Reader

	start    Start
	replied  bool
	later    bool            // it goes on after what the session was sent at once with the reply
	failures int             // consecutive reads that have failed
	number   uint32          // of the reply: a later one of the same subscription has a larger one
	mark     int32           // the subscription's index from the reply on, unless another join is answered
	before   *broker.Message // the last message sent since the reply; nil if there is none
	members  bool            // the reply lists the members
	nothing  bool            // it asked for recent messages and has been sent none yet

	// Used if the reply lists the members.
	roll  *roll              // taken since the last step; else nil
	reply func() (said bool) // nil if it has not been made
	there []attendance.Who   // as the reply and news tell
	news  []News             // since the reply, before the roll
}

func (c *resumption) out() *outbox.Outbox { return c.sub.by.Outbox() }

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
			c.of.GoOn(c.number, c.goOn)
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
			return fmt.Errorf("resume on %q: %w", c.channel.name, err)
		}
		c.failures++
		c.of.GoOn(c.number, c.goOn)
		return nil
	}
}

// goOn does the rest of the resumption.
func (c *resumption) goOn() {
	c.later = true
	c.noteEnd(c.run(c.channel.all.Life))
}

// noteEnd ends the session of a client that has had its reply, but cannot be sent what it
// missed. The client comes back with its cursor.
func (c *resumption) noteEnd(err error) {
	if err != nil && c.replied && !errors.Is(err, ErrGone) {
		c.sub.by.Dismiss(Dismissal{Why: ErrMissed})
	}
}

// proceed sends what this node has at hand. It returns a function that waits for more
// messages or for room, or nil if the session has joined the audience.
func (c *resumption) proceed() (ready func(context.Context) error, err error) {
	ch := c.channel
	ch.mu.Lock()
	defer ch.mu.Unlock()
	defer c.endRoll()
	for {
		switch {
		case c.sub.gone:
			return nil, ErrGone
		case c.replied && c.sub.index != c.mark:
			return nil, nil
		}
		if c.members && c.reply == nil {
			return c.callRoll, nil
		}
		step := ch.Step(c.reader, time.Now())
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
		case step.Present && c.members && c.roll == nil:
			return c.callRoll, nil
		case step.Present:
			c.arrive()
			return nil, nil
		}
	}
}

// provide returns a function that does what the step asks for before the next step. The
// caller must hold ch.mu.
func (c *resumption) provide(step timeline.Step) (ready func(context.Context) error, err error) {
	ch := c.channel
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
	c.replied, c.number = true, c.channel.all.resumed.Add(1)
	c.mark = nowhere - 1 - int32(c.number%(1<<30))
	c.channel.tellBy(c.sub, c.dialect)
	c.count(step)
	if c.reply == nil {
		c.start.Recovered = c.start.Resumed && !step.Lost
		c.start.Position, c.start.After = c.channel.at(), step.After
		c.reply = c.of.Reply(c.start)
	}
	if !c.reply() {
		return false
	}
	c.channel.remove(c.sub)
	c.sub.index = c.mark
	return true
}

// count updates the counters for a client that came with a cursor and had missed something.
func (c *resumption) count(step timeline.Step) {
	counters := &c.channel.all.Counters
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
	if c.sub.skips(&e.Message) {
		c.reader.Pass(e)
		return nil, nil
	}
	frame, err := c.sub.dialect.resumed().frameOf(e, c.before)
	if err != nil {
		return nil, err
	}
	boxes := c.channel.all.Outboxes
	if room := c.out().Room(len(frame)+boxes.Limit/2, boxes); room != nil { // the other half is for live messages
		return room, nil
	}
	if frame != nil {
		c.push(frame)
		c.before = &e.Message
	}
	c.nothing = false
	c.reader.Take(e)
	return nil, nil
}

// arrive adds the session to the audience.
func (c *resumption) arrive() {
	if c.channel.Arrive(c.reader) && !c.say(News{Kind: Gap}) {
		return
	}
	if c.nothing && !c.say(News{Kind: NothingRecent}) {
		return
	}
	if c.channel.sayAll(c.of, append(c.news, c.endRoll()...)) {
		c.channel.join(c.sub)
	}
}

// say sends the client news of the channel.
func (c *resumption) say(n News) (said bool) {
	n.Channel = c.channel.name
	return c.of.Say(n)
}

// push queues a message's frame.
func (c *resumption) push(frame []byte) {
	switch c.out().PushMessage(frame, c.channel.all.Outboxes, outbox.Receipt{}) {
	case outbox.Wakes:
		c.channel.all.Line.Queue(c.out())
	case outbox.Full:
		c.sub.by.Dismiss(Dismissal{Why: ErrSlow})
	}
}

// callRoll makes the reply that lists the members or, after it, finds the joins and leaves
// since then. It holds the channel's lock only to copy the members.
func (c *resumption) callRoll(context.Context) error {
	c.channel.mu.Lock()
	r := c.channel.callRoll(c.sub)
	c.channel.mu.Unlock()
	before := c.there
	c.roll, c.there = &r, r.members()
	if c.reply == nil {
		c.reply = c.of.Reply(Start{Resumed: c.start.Resumed, Members: c.there})
		return nil
	}
	for _, who := range without(c.there, before) {
		c.news = append(c.news, News{Kind: Joined, Who: who})
	}
	for _, who := range without(before, c.there) {
		c.news = append(c.news, News{Kind: Left, Who: who})
	}
	return nil
}

// endRoll returns the joins and leaves since the roll was taken. The caller must hold ch.mu.
func (c *resumption) endRoll() (news []News) {
	if c.roll != nil {
		news = c.roll.end()
		c.roll = nil
	}
	return news
}

// without returns the members that are not among others, in linear time.
func without(members, others []attendance.Who) (rest []attendance.Who) {
	type name struct{ user, session string }
	known := make(map[name]struct{}, len(others))
	for i := range others {
		known[name{others[i].User, others[i].Session}] = struct{}{}
	}
	for i := range members {
		if _, is := known[name{members[i].User, members[i].Session}]; !is {
			rest = append(rest, members[i])
		}
	}
	return rest
}

// failureHolds is how long clients that have had their reply do not retry a read that failed
// for another client.
const failureHolds = 250 * time.Millisecond

// readOn returns a function that reads what follows the reader's cursor, or waits for
// another client's read of this channel. The caller must hold ch.mu.
func (c *resumption) readOn() func(context.Context) error {
	ch := c.channel
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
	turn := c.of.Turn()
	if !turn.Try() {
		return turn.Wait
	}
	reading := &rangeRead{done: make(chan struct{})}
	ch.reading = reading
	after, most := ch.AskFor(c.reader)
	return func(ctx context.Context) error {
		defer turn.End()
		page, err := ch.all.Read(ctx, ch.name, after, most)
		c.keep(reading, page, err)
		return err
	}
}

// keep ends a read, and stores its result.
func (c *resumption) keep(reading *rangeRead, page broker.Page, err error) {
	ch := c.channel
	ch.mu.Lock()
	defer ch.mu.Unlock()
	defer close(reading.done)
	ch.reading = nil
	switch {
	case err != nil:
		reading.err, reading.end = err, time.Now()
		ch.failed = reading
	case !reading.outdated && ch.Keep(c.reader, page, time.Now()):
		ch.startRepair()
	}
}

// untilClosed returns a function that waits until done is closed, for at most atMost.
func untilClosed(done <-chan struct{}, atMost time.Duration) func(context.Context) error {
	return func(ctx context.Context) error { return pause.Await(ctx, done, atMost) }
}
