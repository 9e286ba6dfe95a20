package gateway

import (
	"context"
	"time"

	"tidegate/broker"
)

// repair is the state of closing a gap in a channel with history. While it runs,
// live messages are not sent: the range read brings them, in order.
type repair struct {
	running bool
	again   bool            // something was missed after the last read had begun
	seen    broker.Position // of the newest message that arrived meanwhile
	asked   broker.Position // what seen was when the last read began
	done    chan struct{}   // closed when it has ended
}

const (
	readTimeout    = 2 * time.Second
	repairPage     = 256                   // messages that a repair reads at once
	pageBytes      = 1 << 20               // of a page of messages
	repairPause    = 20 * time.Millisecond // for the sessions to write a page of them
	repairAttempts = 8                     // to find what was seen but is not in the history
)

// receiveNext takes a message with a position. The caller holds ch.mu.
func (ch *channel) receiveNext(e *entry) {
	ch.recall()
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
	ch.keep(e)
	ch.deliver(e)
}

// missed is called when messages may have been lost on the way from the broker.
func (ch *channel) missed() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	unkept := ch.past != nil && ch.unkept > 0
	if unkept {
		ch.unkept++ // so that who is resuming is told, too
	}
	known := !ch.at().IsZero()
	if !known || unkept {
		ch.tellGap()
	}
	if known {
		ch.startRepair(broker.Position{})
	}
}

// tellGap tells the audience, if there is one, that messages are lost. The caller
// holds ch.mu.
func (ch *channel) tellGap() {
	if !ch.isHeard() {
		return
	}
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
	defer ch.hub.gateway.wall.Catch("repair a channel", ch.abandonRepair)
	for attempt := 0; ; attempt++ {
		page, err := ch.readOn(ctx)
		switch {
		case ctx.Err() != nil || err != nil && !ch.inUse():
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

func (ch *channel) inUse() bool { return ch.hub.find(ch.name) == ch }

func (ch *channel) readOn(ctx context.Context) (broker.Page, error) {
	g := ch.hub.gateway
	g.repairs <- struct{}{}
	defer func() { <-g.repairs }()
	ch.mu.Lock()
	from := ch.position
	ch.repair.again, ch.repair.asked = false, ch.repair.seen
	ch.mu.Unlock()
	return g.since(ctx, ch.name, from, broker.Most{Messages: repairPage, Bytes: pageBytes})
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
	}
	if !found && seen.Epoch == ch.position.Epoch {
		ch.position = seen
		ch.tail.clear(&ch.hub.tails)
	}
	ch.endRepair()
	return true
}

// skipTo tells of a loss, and goes on where the page begins.
func (ch *channel) skipTo(page broker.Page) {
	ch.tellGap()
	left := ch.position
	ch.tail.clear(&ch.hub.tails)
	ch.position = page.Top
	if len(page.Messages) > 0 {
		ch.position = page.Messages[0].Position
		ch.position.Offset--
	}
	if left.Epoch != ch.position.Epoch {
		ch.former = page.Former
	}
	if r := &ch.repair; left.Epoch != ch.position.Epoch && r.seen.Epoch != ch.position.Epoch && r.seen == r.asked {
		r.seen = broker.Position{} // it is lost with its epoch: to look for it would lead back
	}
}

// sendPaced sends the messages that follow ch.position. So that a long run of
// them does not overflow the outboxes of sessions that do keep up, it lets go of
// ch.mu, which the caller holds, from time to time.
func (ch *channel) sendPaced(ctx context.Context, messages []broker.Message) {
	line := ch.hub.gateway.line
	defer line.Rouse()
	portion := ch.hub.gateway.outboxes.Limit / 4
	sent := 0
	for i := range messages {
		m := &messages[i]
		if m.Position.Offset != ch.position.Offset+1 {
			continue
		}
		ch.advance(&entry{message: m})
		sent += len(m.Payload) + frameOverhead
		if portion > 0 && sent > portion {
			line.Rouse()
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
	if ch.repair.running {
		ch.endRepair()
	}
}

// since reads a range of a channel's history.
func (g *Gateway) since(ctx context.Context, channel string, after broker.Position, most broker.Most) (page broker.Page, err error) {
	defer g.wall.Catch("read a history", func() { err = Failed })
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	g.metrics.Recovery.HistoryReads.Inc()
	return g.history.Since(ctx, channel, after, most)
}
