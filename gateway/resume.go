package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/outbox"
	"tidegate/gateway/internal/pause"
	"tidegate/gateway/internal/timeline"
)

// readerFor returns the reader of a client that wants something of the history
// first: what was published since a cursor, or, without one, the most recent
// messages. nil: it wants nothing, or there is no history.
func (ch *channel) readerFor(cursor broker.Position, recent int) *timeline.Reader {
	if cursor.IsZero() && recent == 0 || !ch.keepsHistory() {
		return nil
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.recall()
	if cursor.IsZero() {
		return ch.Recent(recent)
	}
	return ch.Resume(cursor)
}

// enter makes the subscription a part of the audience: from now on, or after what
// its reader is to be given. It sends the reply first.
func (ch *channel) enter(ctx context.Context, j *join) error {
	if j.from == nil {
		return ch.enterNow(j)
	}
	j.reply.Resumed = !j.cursor.IsZero()
	c := &resumption{channel: ch, sub: j.sub, dialect: j.dialect, reply: j.reply, collected: j.collected, reader: j.from, members: j.members, nothing: j.asksRecent()}
	err := c.run(ctx)
	c.noteEnd(err)
	return err
}

// enterNow joins the audience at once. A cursor is of no use there.
func (ch *channel) enterNow(j *join) error {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if j.sub.gone {
		return errGone
	}
	ch.tellBy(j.sub, j.dialect)
	reply := j.reply
	if reply.Resumed = !j.cursor.IsZero(); reply.Resumed {
		ch.hub.gateway.metrics.Recovery.NotRecovered.Inc()
	} else {
		reply.Position = ch.at()
		reply.After = reply.Position
	}
	if j.members {
		reply.Members = ch.membersFor(j.sub)
	}
	if j.sub.session.reply(reply, j.collected) && (!j.asksRecent() || j.sub.sayNothingRecent()) {
		ch.join(j.sub)
	}
	return nil
}

// asksRecent reports whether the client wants to hear that there is nothing recent.
func (j *join) asksRecent() bool { return j.recent > 0 && j.cursor.IsZero() }

// errGone says that the session was taken off the channel while it came.
var errGone = failf(Unavailable, "the subscription has ended meanwhile: subscribe again")

var (
	errUnattached = errors.New("the session has no connection that makes room yet")
	errUntold     = errors.New("the session or the subscription ends, since a loss cannot be told otherwise")
)

// run goes all the way. Once the client has had its reply it is told nothing more
// of the subscribe: what cannot be read is waited for. While the session has no
// connection yet, the rest of the way is left to be gone when it has, and run returns.
func (c *resumption) run(ctx context.Context) error {
	for failures := 0; ; {
		ready, err := c.proceed()
		switch {
		case errors.Is(err, errUnattached):
			c.sub.session.whenAttached(c)
			return nil
		case errors.Is(err, errUntold), err == nil && ready == nil:
			return nil
		case err != nil:
			return err
		}
		if err = ready(ctx); err == nil {
			failures = 0
			continue
		}
		if !c.replied || !c.sub.session.out.Open() || !pause.For(ctx, pause.Backoff(failures)) {
			return fmt.Errorf("resume on %q: %w", c.channel.name, err)
		}
		failures++
	}
}

// goOn runs the rest of the way.
func (c *resumption) goOn() {
	c.noteEnd(c.run(c.sub.session.gateway.life))
}

// noteEnd ends the session of a client that has had its reply, but cannot be
// brought what it is to have: it comes back with its cursor.
func (c *resumption) noteEnd(err error) {
	if err != nil && c.replied && !errors.Is(err, errGone) {
		c.sub.session.Close(Missed)
	}
}

// proceed sends what the node has at hand, and returns what brings more, or makes
// room for it; nil: the session has joined the audience.
func (c *resumption) proceed() (ready func(context.Context) error, err error) {
	ch := c.channel
	ch.mu.Lock()
	defer ch.mu.Unlock()
	for {
		if c.sub.gone {
			return nil, errGone
		}
		step := ch.Step(c.reader, time.Now())
		if step.Do != timeline.Give {
			return c.provide(step)
		}
		room, err := c.give(step)
		switch {
		case err != nil:
			return nil, err
		case room != nil && !c.sub.session.out.Attached():
			return nil, errUnattached
		case room != nil:
			return untilClosed(room, outbox.StallPatience), nil
		case step.Present:
			c.arrive()
			return nil, nil
		}
	}
}

// provide returns what must happen before the next step. The caller holds ch.mu.
func (c *resumption) provide(step timeline.Step) (ready func(context.Context) error, err error) {
	ch := c.channel
	switch {
	case c.replied && !c.sub.session.out.Attached():
		return nil, errUnattached
	case step.Do == timeline.Pause:
		return func(ctx context.Context) error { pause.For(ctx, step.Wait); return ctx.Err() }, nil
	case step.Do == timeline.Read:
		return c.readOn(), nil
	case step.Do == timeline.Look:
		ch.startRepair()
	}
	return untilClosed(ch.repairing.done, readTimeout), nil
}

// give sends the entries of a step, or returns what to wait for until there is room.
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

// sayBegin sends the reply, once; a loss that shows later is told as a gap.
func (c *resumption) sayBegin(step timeline.Step) (said bool) {
	s := c.sub.session
	if c.replied {
		return !step.Lost || c.sub.say(Gap{c.channel.name})
	}
	c.replied = true
	c.channel.tellBy(c.sub, c.dialect)
	c.reply.Recovered = c.reply.Resumed && !step.Lost
	c.reply.Position, c.reply.After = c.channel.at(), step.After
	if c.members {
		c.reply.Members = c.channel.membersFor(c.sub)
		c.members = !step.Present // else nothing can change before it arrives
	}
	c.count(step)
	return s.reply(c.reply, c.collected)
}

// count counts a client that came with a cursor and had missed something.
func (c *resumption) count(step timeline.Step) {
	counters := &c.channel.hub.gateway.metrics.Recovery
	switch {
	case !c.reply.Resumed:
	case step.Lost:
		counters.NotRecovered.Inc()
	case len(step.Entries) > 0 || !step.Present:
		counters.Recovered.Inc()
	}
}

// send queues one message, or returns what to wait for until there is room.
func (c *resumption) send(e *timeline.Entry) (room <-chan struct{}, err error) {
	s := c.sub.session
	if c.sub.skips(&e.Message) {
		c.reader.Pass(e)
		return nil, nil
	}
	frame, err := c.sub.dialect.resumed().frameOf(e, c.before)
	if err != nil {
		return nil, err
	}
	boxes := &s.gateway.outboxes
	if room := s.out.Room(len(frame)+boxes.Limit/2, boxes); room != nil { // half of it is for what is live
		return room, nil
	}
	if frame != nil {
		s.pushMessage(frame)
		c.before = &e.Message
	}
	c.nothing = false
	c.reader.Take(e)
	return nil, nil
}

// arrive makes the session one of the audience.
func (c *resumption) arrive() {
	if c.channel.Arrive(c.reader) && !c.sub.say(Gap{c.channel.name}) {
		return
	}
	if c.nothing && !c.sub.sayNothingRecent() {
		return
	}
	c.tellChanges()
	c.channel.join(c.sub)
}

// sayNothingRecent tells the client, and who wants to hear of it, that there is nothing
// recent.
func (sub *subscription) sayNothingRecent() (said bool) {
	s, channel := sub.session, sub.channel.name
	if !s.who().Backend() && s.gateway.isTold(OnNothingRecent, channel) {
		s.gateway.post(OnNothingRecent, broker.Notice{Channel: channel, User: sub.who().User, Session: s.id})
	}
	return s.say(NothingRecent{channel})
}

// tellChanges tells who has come and gone since the reply said who is there.
func (c *resumption) tellChanges() {
	if !c.members {
		return
	}
	before, now := c.reply.Members, c.channel.membersFor(c.sub)
	for i := range now {
		if m := &now[i]; !isAmong(before, m) {
			c.sub.session.say(Join{Channel: c.channel.name, User: m.User, Session: m.Session, Info: m.Info})
		}
	}
	for i := range before {
		if m := &before[i]; !isAmong(now, m) {
			c.sub.session.say(Leave{Channel: c.channel.name, User: m.User, Session: m.Session})
		}
	}
}

func isAmong(members []Member, m *Member) bool {
	return slices.ContainsFunc(members, func(other Member) bool { return other.User == m.User && other.Session == m.Session })
}

// failureHolds is how long those who have time do not try again what somebody
// could not read.
const failureHolds = 250 * time.Millisecond

// readOn has what follows the reader's cursor read: by us, or by who is at it. The
// caller holds ch.mu.
func (c *resumption) readOn() func(context.Context) error {
	ch := c.channel
	if reading := ch.reading; reading != nil {
		return func(ctx context.Context) error {
			if err := pause.Await(ctx, reading.done, readTimeout); err != nil {
				return err
			}
			return reading.err
		}
	}
	if failed := ch.failed; failed != nil && c.replied && time.Since(failed.end) < failureHolds {
		return func(context.Context) error { return failed.err }
	}
	turn := c.sub.session.reader()
	if !turn.try() {
		return turn.turn
	}
	reading := &rangeRead{done: make(chan struct{})}
	ch.reading = reading
	after, most := ch.AskFor(c.reader)
	return func(ctx context.Context) error {
		defer turn.end()
		page, err := ch.hub.gateway.since(ctx, ch.name, after, most)
		c.keep(reading, page, err)
		return err
	}
}

// keep ends a read, and keeps what it has brought.
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

// untilClosed returns what waits until done is closed.
func untilClosed(done <-chan struct{}, atMost time.Duration) func(context.Context) error {
	return func(ctx context.Context) error { return pause.Await(ctx, done, atMost) }
}

// whenAttached has c go on when the session has its connection.
func (s *Session) whenAttached(c *resumption) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out.Attached() {
		s.goOn(c.goOn)
		return
	}
	c.after, s.waiting = s.waiting, c
}

// goOnAttached lets go on what has waited for the session's connection.
func (s *Session) goOnAttached() {
	s.mu.Lock()
	waiting := s.waiting
	s.waiting = nil
	s.mu.Unlock()
	for c := waiting; c != nil; c = c.after {
		s.goOn(c.goOn)
	}
}
