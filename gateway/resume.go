package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/outbox"
)

// enter makes sub a part of the audience: from now on, or after all that was
// published since the cursor, if there is one. It sends the reply first.
func (ch *channel) enter(ctx context.Context, sub *subscription, reply Subscribed, cursor broker.Position) error {
	if !cursor.IsZero() {
		return ch.resume(ctx, sub, reply, cursor)
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if sub.gone {
		return errGone
	}
	reply.Position = ch.at()
	sub.session.answer(reply)
	ch.join(sub)
	return nil
}

// errGone says that the session was taken off the channel while it came.
var errGone = failf(Unavailable, "the subscription has ended meanwhile: subscribe again")

// resume sends what was published after the cursor, waiting for room in the
// session's outbox, and joins the audience in the same breath as it sends the
// last of it: no gap, no double.
func (ch *channel) resume(ctx context.Context, sub *subscription, reply Subscribed, cursor broker.Position) error {
	if !ch.keepsHistory() {
		return ch.enterUnrecovered(sub, reply)
	}
	at := &catchUp{channel: ch, sub: sub, reply: reply, cursor: cursor}
	err := at.run(ctx)
	at.noteEnd(err)
	return err
}

// run goes all the way. Once the client has had its reply it is told nothing more
// of the subscribe: what cannot be read is waited for. While the session has no
// connection yet nothing makes room in its outbox: the rest of the way is then
// gone beside, and run returns.
func (c *catchUp) run(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		wait, err := c.step()
		switch {
		case err != nil || c.done:
			return err
		case c.replied && !c.sub.session.out.Attached():
			c.goOnBeside()
			return nil
		case wait != nil:
			err = await(ctx, wait, c.patience)
		default:
			err = c.read(ctx)
		}
		switch {
		case err == nil:
			attempt = 0
		case !c.replied || !c.sub.session.out.Open() || !pause(ctx, backoff(attempt)):
			return fmt.Errorf("resume on %q: %w", c.channel.name, err)
		}
	}
}

// noteEnd ends the session of a client that has had its reply, but cannot be
// brought what it is to have: it comes back with its cursor.
func (c *catchUp) noteEnd(err error) {
	if err != nil && c.replied && !errors.Is(err, errGone) {
		c.sub.session.Close(Missed)
	}
}

// goOnBeside waits for the session's connection and goes on.
func (c *catchUp) goOnBeside() {
	s := c.sub.session
	s.goOn(func() {
		for !s.out.Attached() {
			if !s.out.Open() || !pause(s.gateway.life, attachPause) {
				return
			}
		}
		c.noteEnd(c.run(s.gateway.life))
	})
}

// attachPause is how often a session is asked whether it has its connection.
const attachPause = 10 * time.Millisecond

// enterUnrecovered answers a cursor on a channel that keeps no history.
func (ch *channel) enterUnrecovered(sub *subscription, reply Subscribed) error {
	reply.Resumed = true
	ch.hub.gateway.metrics.Recovery.NotRecovered.Inc()
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if sub.gone {
		return errGone
	}
	sub.session.answer(reply)
	ch.join(sub)
	return nil
}

// catchUp is one session's way from its cursor to the present.
type catchUp struct {
	channel  *channel
	sub      *subscription
	reply    Subscribed
	cursor   broker.Position // of the last message sent
	unkept   uint64          // the channel's, when the reply was sent
	looked   bool            // whether the node is behind the cursor
	replied  bool
	told     bool // that something before the next message is lost
	done     bool
	patience time.Duration // for what step said to wait for
	own      *run          // what was just read
}

// step sends what the node has at hand. Unless it is done, it returns what to wait
// for; if that is nil, older messages are to be read first.
func (c *catchUp) step() (<-chan struct{}, error) {
	ch := c.channel
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if c.sub.gone {
		return nil, errGone
	}
	ch.recall()
	if ch.repair.running {
		c.patience = readTimeout
		return ch.repair.done, nil
	}
	if !c.looked && ch.mayBeBehind(c.cursor) {
		c.looked = true
		c.patience = readTimeout
		ch.startRepair(broker.Position{})
		return ch.repair.done, nil
	}
	lost := c.cursor.Epoch != ch.position.Epoch || c.cursor.Offset > ch.position.Offset
	if lost {
		c.cursor = ch.afterLoss(c.cursor)
	}
	for {
		begin := ch.tail.begin(ch.position)
		if c.cursor.Offset+1 >= begin || ch.tail.complete {
			c.answer(!lost && c.cursor.Offset+1 >= begin)
			return c.throughTail()
		}
		older := c.older()
		if older == nil {
			if lost {
				c.answer(false)
			}
			return nil, nil
		}
		c.answer(!lost && c.cursor.Offset+1 >= older.begin())
		lost = false
		for _, e := range older.from(c.cursor) {
			if room, err := c.send(e); err != nil || room != nil {
				return room, err
			}
		}
	}
}

// throughTail sends what the channel's tail has, and joins the audience.
func (c *catchUp) throughTail() (<-chan struct{}, error) {
	ch := c.channel
	for _, e := range ch.tail.after(c.cursor.Offset, ch.position) {
		if room, err := c.send(e.entry); err != nil || room != nil {
			return room, err
		}
	}
	c.done = true
	if ch.unkept != c.unkept {
		c.sub.session.tell(Gap{ch.name}) // they came while the session was on its way
	}
	ch.join(c.sub)
	return nil, nil
}

// older returns a run of what follows the cursor: the one that was just read, for
// which there may have been no room in the archive, or one of the archive's.
func (c *catchUp) older() *run {
	own := c.own
	c.own = nil
	if own != nil && own.follows(c.cursor) {
		return own
	}
	return c.channel.hub.archive.find(c.channel, c.cursor)
}

// afterLoss returns from where on a client whose cursor is lost is given what
// there is: all of it, but for what it has from the former epoch. The caller
// holds ch.mu.
func (ch *channel) afterLoss(cursor broker.Position) broker.Position {
	begin := broker.Position{Epoch: ch.position.Epoch}
	if cursor.Epoch == ch.former.Epoch {
		begin.Offset = min(cursor.Offset, ch.former.Offset)
	}
	return begin
}

// mayBeBehind reports whether a cursor from another node may know more of the
// channel than this node does. The caller holds ch.mu.
func (ch *channel) mayBeBehind(cursor broker.Position) bool {
	if cursor.Epoch == ch.position.Epoch {
		return cursor.Offset > ch.position.Offset
	}
	return time.Since(ch.looked) > epochAge
}

// epochAge is how long a look at the history settles which epoch is the newest.
const epochAge = time.Second

// answer sends the reply, once; a loss that shows later is told as a gap. Each
// loss is told once.
func (c *catchUp) answer(recovered bool) {
	switch {
	case !c.replied:
		c.replied, c.unkept = true, c.channel.unkept
		c.reply.Resumed, c.reply.Recovered, c.reply.Position = true, recovered, c.channel.position
		c.sub.session.answer(c.reply)
		c.count(recovered)
	case !recovered && !c.told:
		c.sub.session.tell(Gap{c.channel.name})
	}
	c.told = c.told || !recovered
}

func (c *catchUp) count(recovered bool) {
	counters := &c.channel.hub.gateway.metrics.Recovery
	if recovered {
		counters.Recovered.Inc()
	} else {
		counters.NotRecovered.Inc()
	}
}

// send queues one message, or returns what to wait for until there is room.
func (c *catchUp) send(e *entry) (<-chan struct{}, error) {
	s := c.sub.session
	if c.sub.skips(e.message) {
		c.cursor = e.message.Position
		return nil, nil
	}
	frame, err := e.frame(s.dialect)
	if err != nil {
		return nil, err
	}
	boxes := &s.gateway.outboxes
	if room := s.out.Room(len(frame)+boxes.Limit/2, boxes); room != nil { // half of it is for what is live
		c.patience = outbox.StallPatience
		return room, nil
	}
	if frame != nil {
		s.pushMessage(frame)
	}
	c.cursor, c.told = e.message.Position, false
	return nil, nil
}

// read brings what is older than the channel's tail: into the tail, or, if it is
// too much for that, into the archive. There all who resume find it.
func (c *catchUp) read(ctx context.Context) (err error) {
	if c.replied {
		if err = c.channel.justFailed(); err != nil {
			return err
		}
	}
	c.own, err = c.channel.readOlder(ctx, c.cursor)
	return err
}

// justFailed returns why a read failed a moment ago, or nil.
func (ch *channel) justFailed() error {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.failed == nil || time.Since(ch.failed.end) >= failureHolds {
		return nil
	}
	return ch.failed.err
}

// rangeRead is a read that others wait for.
type rangeRead struct {
	done     chan struct{}
	outdated bool // the history was cleared meanwhile; guarded by the channel's mu

	// To be read after done is closed.
	err error
	end time.Time
}

// failureHolds is how long those who have time do not try again what somebody
// could not read.
const failureHolds = 250 * time.Millisecond

// readOlder reads what lies between the cursor and the channel's tail. If
// somebody is reading already it waits for that, and returns no run; as it does if
// the tail has taken what was read, or it is to be read again.
func (ch *channel) readOlder(ctx context.Context, cursor broker.Position) (*run, error) {
	ch.mu.Lock()
	if reading := ch.reading; reading != nil {
		ch.mu.Unlock()
		if err := await(ctx, reading.done, readTimeout); err != nil {
			return nil, err
		}
		return nil, reading.err
	}
	if ch.tail.complete || cursor.Offset+1 >= ch.tail.begin(ch.position) || ch.hub.archive.find(ch, cursor) != nil {
		ch.mu.Unlock()
		return nil, nil // it has just been read
	}
	reading := &rangeRead{done: make(chan struct{})}
	ch.reading = reading
	most := ch.pageBefore(cursor)
	ch.mu.Unlock()

	page, err := ch.hub.gateway.since(ctx, ch.name, cursor, broker.Most{Messages: most, Bytes: pageBytes})

	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.reading = nil
	if err != nil {
		reading.err, reading.end = err, time.Now()
		ch.failed = reading
	}
	defer close(reading.done)
	if err != nil || reading.outdated || ch.extendTail(page, cursor) {
		return nil, err
	}
	older := newRun(ch, page, cursor, time.Now())
	ch.hub.archive.add(older)
	return older, nil
}

// pageBefore returns how many messages after the cursor to read: all up to the
// tail, if the tail may have room for them. The caller holds ch.mu.
func (ch *channel) pageBefore(cursor broker.Position) int {
	missing := ch.tail.begin(ch.position) - 1 - min(cursor.Offset, ch.position.Offset)
	if room := uint64(tailEntries - len(ch.tail.entries)); missing <= room {
		return max(int(missing), repairPage)
	}
	return repairPage
}

// extendTail puts a page before the tail if it reaches up to it, and there is
// room. A page that it does not take has messages. A page without messages from
// before the tail tells that there are none only if the cursor lay before it.
func (ch *channel) extendTail(page broker.Page, cursor broker.Position) bool {
	begin := ch.tail.begin(ch.position)
	if page.Top.Epoch != ch.position.Epoch {
		ch.startRepair(broker.Position{}) // the epoch has just changed
		return true
	}
	if cursor.Epoch != page.Top.Epoch {
		return true // so it has, and the page begins elsewhere than at the cursor
	}
	older := page.Messages
	for len(older) > 0 && older[len(older)-1].Position.Offset >= begin {
		older = older[:len(older)-1]
	}
	if len(older) > 0 && older[len(older)-1].Position.Offset+1 != begin {
		return false
	}
	if len(older) > 0 && !ch.tail.prepend(older, time.Now(), &ch.hub.tails) {
		return false
	}
	none := len(older) == 0 && cursor.Offset+1 < begin
	ch.tail.complete = ch.tail.complete || page.Lost || cursor.Offset == 0 || none
	return true
}
