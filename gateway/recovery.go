package gateway

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"tidegate/broker"
)

// repair is the state of closing a gap in a channel with history. While it runs,
// live messages are not sent: the range read brings them, in order.
type repair struct {
	running bool
	again   bool            // something was missed after the last read had begun
	seen    broker.Position // of the newest message that arrived meanwhile
	done    chan struct{}   // closed when it has ended
}

const (
	readTimeout    = 2 * time.Second
	repairPage     = 256                   // messages that a repair reads at once
	repairPause    = 20 * time.Millisecond // for the sessions to write a page of them
	repairAttempts = 8                     // to find what was seen but is not in the history
)

// receiveNext takes a message with a position. The caller holds ch.mu.
func (ch *channel) receiveNext(e *entry) {
	at := e.message.Position
	switch {
	case ch.repair.running:
		ch.repair.seen = at
	case ch.position.IsZero():
		ch.advance(e)
	case at.Epoch == ch.position.Epoch && at.Offset <= ch.position.Offset:
		// a repetition
	case at.Epoch == ch.position.Epoch && at.Offset == ch.position.Offset+1:
		ch.advance(e)
	default:
		ch.startRepair(at)
	}
}

// advance sends the message that follows ch.position. The caller holds ch.mu.
func (ch *channel) advance(e *entry) {
	ch.position = e.message.Position
	ch.tail.append(e, time.Now())
	ch.deliver(e)
}

// missed is called when messages may have been lost on the way from the broker.
func (ch *channel) missed() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.position.IsZero() {
		ch.tellGap()
		return
	}
	ch.startRepair(broker.Position{})
}

// tellGap tells the audience that messages are lost. The caller holds ch.mu.
func (ch *channel) tellGap() {
	ch.hub.gateway.metrics.Recovery.Told.Inc()
	ch.tell(Gap{ch.name})
}

// startRepair closes the gap before seen, or whatever gap there is if seen is
// zero. The caller holds ch.mu.
func (ch *channel) startRepair(seen broker.Position) {
	if !seen.IsZero() {
		ch.repair.seen = seen
	}
	if ch.repair.running {
		ch.repair.again = true
		return
	}
	ch.repair.running = true
	ch.repair.done = make(chan struct{})
	g := ch.hub.gateway
	g.background.Go(func() { ch.runRepair(g.life) })
}

// runRepair reads and sends until nothing is missing. It goes on trying for as
// long as the channel is in use and the broker cannot be asked.
func (ch *channel) runRepair(ctx context.Context) {
	for attempt := 0; ; attempt++ {
		page, err := ch.readOn(ctx)
		switch {
		case ctx.Err() != nil:
			ch.abandonRepair()
			return
		case err == nil && ch.mend(ctx, page, attempt):
			return
		case err == nil && len(page.Messages) > 0:
			attempt = 0
			continue
		}
		pause(ctx, backoff(attempt))
	}
}

func (ch *channel) readOn(ctx context.Context) (broker.Page, error) {
	g := ch.hub.gateway
	g.repairs <- struct{}{}
	defer func() { <-g.repairs }()
	ch.mu.Lock()
	from := ch.position
	ch.repair.again = false
	ch.mu.Unlock()
	return g.since(ctx, ch.name, from, repairPage)
}

// mend sends what was missed. If nothing is missing any more it ends the repair
// and returns true.
func (ch *channel) mend(ctx context.Context, page broker.Page, attempt int) bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if page.Lost || page.Top.Epoch != ch.position.Epoch {
		ch.skipTo(page)
	} else if len(page.Messages) > 0 {
		ch.hub.gateway.metrics.Recovery.Repaired.Inc()
	}
	ch.sendPaced(ctx, page.Messages)
	if ch.repair.again || ch.position.Offset < page.Top.Offset {
		return false
	}
	seen := ch.repair.seen
	found := seen.IsZero() || seen.Epoch == ch.position.Epoch && seen.Offset <= ch.position.Offset
	if !found && attempt < repairAttempts {
		return false
	}
	if !found {
		ch.tellGap()
		ch.position, ch.tail = seen, tail{}
	}
	ch.endRepair()
	return true
}

// skipTo tells of a loss, and goes on where the page begins.
func (ch *channel) skipTo(page broker.Page) {
	ch.tellGap()
	ch.tail = tail{}
	ch.position = page.Top
	if len(page.Messages) > 0 {
		ch.position = page.Messages[0].Position
		ch.position.Offset--
	}
}

// sendPaced sends the messages that follow ch.position. So that a long run of
// them does not overflow the outboxes of sessions that do keep up, it lets go of
// ch.mu, which the caller holds, from time to time.
func (ch *channel) sendPaced(ctx context.Context, messages []broker.Message) {
	portion := ch.hub.gateway.outboxes.limit / 4
	sent := 0
	for i := range messages {
		m := &messages[i]
		if m.Position.Offset != ch.position.Offset+1 {
			continue
		}
		ch.advance(&entry{message: m})
		sent += len(m.Payload) + frameOverhead
		if portion > 0 && sent > portion {
			ch.mu.Unlock()
			pause(ctx, repairPause)
			ch.mu.Lock()
			sent = 0
		}
	}
}

// frameOverhead is about what a protocol adds to a payload.
const frameOverhead = 256

// endRepair lets live messages pass again. The caller holds ch.mu.
func (ch *channel) endRepair() {
	close(ch.repair.done)
	ch.repair = repair{}
	ch.looked = time.Now()
}

func (ch *channel) abandonRepair() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.endRepair()
}

// enter makes sub a part of the audience: from now on, or after all that was
// published since the cursor, if there is one. It sends the reply first.
func (ch *channel) enter(ctx context.Context, sub *subscription, reply Subscribed, cursor broker.Position) error {
	if !cursor.IsZero() {
		return ch.resume(ctx, sub, reply, cursor)
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	reply.Position = ch.position
	sub.session.answer(reply)
	ch.join(sub)
	return nil
}

// resume sends what was published after the cursor, waiting for room in the
// session's outbox, and joins the audience in the same breath as it sends the
// last of it: no gap, no double.
func (ch *channel) resume(ctx context.Context, sub *subscription, reply Subscribed, cursor broker.Position) error {
	if !ch.keepsHistory() {
		return ch.enterUnrecovered(sub, reply)
	}
	at := &catchUp{channel: ch, sub: sub, reply: reply, cursor: cursor}
	for {
		wait, err := at.step()
		switch {
		case err != nil || at.done:
			return err
		case wait != nil:
			if err := await(ctx, wait, at.patience); err != nil {
				return fmt.Errorf("resume on %q: %w", ch.name, err)
			}
		default:
			if err := at.read(ctx); err != nil {
				return fmt.Errorf("resume on %q: %w", ch.name, err)
			}
		}
	}
}

// enterUnrecovered answers a cursor on a channel that keeps no history.
func (ch *channel) enterUnrecovered(sub *subscription, reply Subscribed) error {
	reply.Resumed = true
	ch.hub.gateway.metrics.Recovery.NotRecovered.Inc()
	ch.mu.Lock()
	defer ch.mu.Unlock()
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
	looked   bool            // whether the node is behind the cursor
	replied  bool
	done     bool
	patience time.Duration // for what step said to wait for
}

// step sends what the channel's tail has. Unless it is done, it returns what to
// wait for; if that is nil, older messages are to be read first.
func (c *catchUp) step() (<-chan struct{}, error) {
	ch := c.channel
	ch.mu.Lock()
	defer ch.mu.Unlock()
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
		c.cursor = broker.Position{Epoch: ch.position.Epoch}
	}
	begin := ch.tail.begin(ch.position)
	if c.cursor.Offset+1 < begin && !ch.tail.complete {
		if lost {
			c.answer(false)
		}
		return nil, nil
	}
	c.answer(!lost && c.cursor.Offset+1 >= begin)
	for _, e := range ch.tail.after(c.cursor.Offset, ch.position) {
		room, err := c.send(e.entry)
		if err != nil || room != nil {
			return room, err
		}
	}
	c.done = true
	ch.join(c.sub)
	return nil, nil
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

// answer sends the reply, once; a loss that shows later is told as a gap.
func (c *catchUp) answer(recovered bool) {
	switch {
	case !c.replied:
		c.replied = true
		c.reply.Resumed, c.reply.Recovered, c.reply.Position = true, recovered, c.channel.position
		c.sub.session.answer(c.reply)
		c.count(recovered)
	case !recovered && c.cursor.Offset > 0:
		c.sub.session.tell(Gap{c.channel.name})
	}
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
	frame, err := e.frame(s.dialect)
	if err != nil {
		return nil, err
	}
	if room := s.out.hasRoom(len(frame), &s.gateway.outboxes); room != nil {
		c.patience = stallPatience
		return room, nil
	}
	if frame != nil {
		s.pushMessage(frame)
	}
	c.cursor = e.message.Position
	return nil, nil
}

// read brings what is older than the channel's tail: into the tail, where all
// who resume find it, or, if it is too much for that, to this session alone.
func (c *catchUp) read(ctx context.Context) error {
	page, shared, err := c.channel.readOlder(ctx, c.cursor)
	if err != nil || shared {
		return err
	}
	if page.Lost {
		c.channel.mu.Lock()
		c.answer(false)
		c.channel.mu.Unlock()
	}
	for i := range page.Messages {
		if err := c.sendAlone(ctx, &entry{message: &page.Messages[i]}); err != nil {
			return err
		}
	}
	return nil
}

func (c *catchUp) sendAlone(ctx context.Context, e *entry) error {
	c.channel.mu.Lock()
	c.answer(true)
	c.channel.mu.Unlock()
	for {
		room, err := c.send(e)
		if err != nil || room == nil {
			return err
		}
		if err := await(ctx, room, stallPatience); err != nil {
			return err
		}
	}
}

// rangeRead is a read that others wait for.
type rangeRead struct{ done chan struct{} }

// readOlder reads what lies between the cursor and the channel's tail. If
// somebody is reading already it waits for that; shared is true then, and when
// the tail has taken what was read.
func (ch *channel) readOlder(ctx context.Context, cursor broker.Position) (page broker.Page, shared bool, err error) {
	ch.mu.Lock()
	if reading := ch.reading; reading != nil {
		ch.mu.Unlock()
		return page, true, await(ctx, reading.done, readTimeout)
	}
	reading := &rangeRead{done: make(chan struct{})}
	ch.reading = reading
	ch.mu.Unlock()

	page, err = ch.hub.gateway.since(ctx, ch.name, cursor, tailEntries)

	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.reading = nil
	close(reading.done)
	if err != nil {
		return page, false, err
	}
	return page, ch.extendTail(page, cursor), nil
}

// extendTail puts a page before the tail if it reaches up to it.
func (ch *channel) extendTail(page broker.Page, cursor broker.Position) bool {
	begin := ch.tail.begin(ch.position)
	if page.Top.Epoch != ch.position.Epoch {
		ch.startRepair(broker.Position{}) // the epoch has just changed
		return true
	}
	older := page.Messages
	for len(older) > 0 && older[len(older)-1].Position.Offset >= begin {
		older = older[:len(older)-1]
	}
	if len(older) > 0 && older[len(older)-1].Position.Offset+1 != begin {
		return false
	}
	if len(older) > 0 && !ch.tail.prepend(older, time.Now()) {
		return false
	}
	ch.tail.complete = ch.tail.complete || page.Lost || cursor.Offset == 0 || len(older) == 0
	return true
}

// since reads a range of a channel's history.
func (g *Gateway) since(ctx context.Context, channel string, after broker.Position, limit int) (broker.Page, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	g.metrics.Recovery.HistoryReads.Inc()
	return g.history.Since(ctx, channel, after, limit)
}

// checkQuiet looks whether the newest message of a channel was missed, in
// channels where nothing has come since the look began. It costs one question
// for each channel on this node, however many sessions there are.
func (g *Gateway) checkQuiet(ctx context.Context) {
	var channels []*channel
	var before []broker.Position
	g.hub.each(func(ch *channel) {
		if at, ok := ch.restsAt(); ok {
			channels, before = append(channels, ch), append(before, at)
		}
	})
	for len(channels) > 0 && ctx.Err() == nil {
		n := min(len(channels), checkGroup)
		g.checkGroup(ctx, channels[:n], before[:n])
		channels, before = channels[n:], before[n:]
	}
}

const checkGroup = 500

func (g *Gateway) checkGroup(ctx context.Context, channels []*channel, before []broker.Position) {
	names := make([]string, len(channels))
	for i, ch := range channels {
		names[i] = ch.name
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	tops, err := g.history.Tops(ctx, names)
	if err != nil {
		return // the link's own check tells of it
	}
	for i, ch := range channels {
		ch.compare(before[i], tops[i])
	}
}

// restsAt returns the channel's position if it is to be checked, and lets go of
// what its tail has kept for too long.
func (ch *channel) restsAt() (broker.Position, bool) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.tail.trim(time.Now())
	return ch.position, !ch.position.IsZero() && !ch.repair.running && ch.keepsHistory()
}

// compare starts a repair if the channel is still where it was, but its history
// is not.
func (ch *channel) compare(before, top broker.Position) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.position == before && (top.Epoch != before.Epoch || top.Offset > before.Offset) {
		ch.startRepair(broker.Position{})
	}
}

// await waits until done is closed; an error says that it was in vain.
func await(ctx context.Context, done <-chan struct{}, atMost time.Duration) error {
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return broker.ErrUnavailable
	}
}

// pause waits, and reports whether ctx still lasts.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// backoff returns a random time that doubles with each attempt, up to 5 s.
func backoff(attempt int) time.Duration {
	most := min(50*time.Millisecond<<min(attempt, 10), 5*time.Second)
	return most/2 + rand.N(most/2)
}
