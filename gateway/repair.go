package gateway

import (
	"context"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/pause"
	"tidegate/gateway/internal/timeline"
)

const (
	readTimeout    = 2 * time.Second
	repairPatience = time.Second / 2 // for sessions to make room for more of it
)

// missed is called when messages may have been lost on the way from the broker.
func (ch *channel) missed() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.past == nil || ch.Missed() || !ch.keepsHistory() {
		ch.announceGap()
	}
	if ch.past != nil && ch.keepsHistory() && !ch.At().IsZero() {
		ch.startRepair()
		ch.repairing.hasten()
	}
}

// announceGap tells the audience, if there is one, that messages are lost. The
// caller holds ch.mu.
func (ch *channel) announceGap() {
	if !ch.isHeard() {
		return
	}
	ch.hub.gateway.metrics.Recovery.Told.Inc()
	ch.announce(Gap{ch.name})
}

// startRepair looks for what may have been missed; if a repair is under way, it
// looks once more. The caller holds ch.mu.
func (ch *channel) startRepair() {
	if ch.Suspect() {
		ch.runRepair()
	}
}

// runRepair has a repair done that has just begun. The caller holds ch.mu.
func (ch *channel) runRepair() {
	r := &repairing{done: make(chan struct{}), hurry: make(chan struct{}, 1)}
	ch.repairing = r
	g := ch.hub.gateway
	g.background.Go(func() {
		defer g.wall.Catch("repair a channel", ch.abandonRepair)
		ch.repairUntilWhole(g.life, r)
	})
}

// repairUntilWhole reads and sends until nothing is missing. It goes on trying for as
// long as the channel is in use and the broker cannot be asked.
func (ch *channel) repairUntilWhole(ctx context.Context, r *repairing) {
	for vain := 0; ; {
		page, err := ch.readMissing(ctx)
		if ctx.Err() != nil || err != nil && !ch.inUse() {
			ch.abandonRepair()
			return
		}
		outcome := timeline.ReadLater
		if err == nil {
			ch.deliverMissing(ctx, page)
			outcome = ch.concludeRepair(page)
		}
		switch outcome {
		case timeline.Repaired, timeline.Lost:
			return
		case timeline.ReadOn:
			vain = 0
		case timeline.ReadLater:
			r.pause(ctx, pause.Backoff(vain))
			vain++
		}
	}
}

func (ch *channel) inUse() bool { return ch.hub.find(ch.name) == ch }

func (ch *channel) readMissing(ctx context.Context) (broker.Page, error) {
	g := ch.hub.gateway
	g.repairs <- struct{}{}
	defer func() { <-g.repairs }()
	ch.mu.Lock()
	after, most := ch.Ask(time.Now())
	ch.mu.Unlock()
	return g.since(ctx, ch.name, after, most)
}

// deliverMissing sends what was read, no faster than the sessions that keep up are
// written it.
func (ch *channel) deliverMissing(ctx context.Context, page broker.Page) {
	ch.mergePage(page)
	for messages := page.Messages; ; ch.awaitRoom(ctx) {
		messages = ch.deliverPortion(messages)
		ch.hub.gateway.line.Rouse()
		if len(messages) == 0 {
			return
		}
	}
}

func (ch *channel) mergePage(page broker.Page) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	switch {
	case ch.Merge(page):
		ch.announceGap()
	case len(page.Messages) > 0:
		ch.hub.gateway.metrics.Recovery.Repaired.Inc()
	}
}

// deliverPortion sends as many of the messages as a part of an outbox holds, and
// returns the others.
func (ch *channel) deliverPortion(messages []broker.Message) (others []broker.Message) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	portion, sent := ch.portion(), 0
	for i := range messages {
		if portion > 0 && sent > portion {
			return messages[i:]
		}
		if e := (&timeline.Entry{Message: messages[i]}); ch.Follow(e, time.Now()) {
			ch.deliver(e)
			sent += len(e.Message.Payload) + frameOverhead
		}
	}
	return nil
}

// portion returns how many bytes a repair sends at once; 0: all.
func (ch *channel) portion() int { return ch.hub.gateway.outboxes.Limit / 4 }

// frameOverhead is about what a protocol adds to a payload.
const frameOverhead = 256

// awaitRoom waits until the audience has room for two portions. It does not wait for
// long: who does not keep up is no concern of the others.
func (ch *channel) awaitRoom(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, repairPatience)
	defer cancel()
	for crowded := ch.crowded(); len(crowded) > 0; crowded = ch.crowded() {
		for _, room := range crowded {
			select {
			case <-room:
			case <-ctx.Done():
				return
			}
		}
	}
}

// crowded returns what to wait for of each session that has no room.
func (ch *channel) crowded() (rooms []<-chan struct{}) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	boxes := &ch.hub.gateway.outboxes
	for i := range ch.audiences {
		for _, m := range ch.audiences[i].members {
			if room := m.session.out.Room(2*ch.portion(), boxes); room != nil {
				rooms = append(rooms, room)
			}
		}
	}
	return rooms
}

// concludeRepair ends the repair if nothing is missing any more.
func (ch *channel) concludeRepair(page broker.Page) timeline.Outcome {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	outcome := ch.Conclude(page)
	switch outcome {
	case timeline.Lost:
		ch.announceGap()
		ch.endRepair()
	case timeline.Repaired:
		ch.endRepair()
	}
	return outcome
}

// endRepair is called with ch.mu held.
func (ch *channel) endRepair() {
	close(ch.repairing.done)
	ch.repairing = nil
}

func (ch *channel) abandonRepair() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.repairing != nil {
		ch.Abandon()
		ch.endRepair()
	}
}

// hasten ends a pause: the broker may be there again.
func (r *repairing) hasten() {
	select {
	case r.hurry <- struct{}{}:
	default:
	}
}

func (r *repairing) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-r.hurry:
	case <-timer.C:
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
