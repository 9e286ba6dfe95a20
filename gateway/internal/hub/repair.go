package hub

import (
	"context"
	"errors"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/pause"
	"tidegate/gateway/internal/timeline"
)

const (
	ReadTimeout    = 2 * time.Second // for the broker to answer a read
	repairPatience = time.Second / 2 // for sessions to make room for the next portion
)

// Missed is called when messages may have been lost between the broker and this node. It
// returns immediately: in the background, channels with history are repaired, and
// subscribers of the others are told.
func (h *Hub) Missed(channels []string) {
	h.Background.Go(func() {
		for _, name := range channels {
			if ch := h.find(name); ch != nil {
				ch.missed()
			}
		}
	})
}

// missed implements Hub.Missed for one channel.
func (ch *Channel) missed() {
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

// startRepair starts a repair; if one is under way, that one reads once more. The caller
// must hold ch.mu.
func (ch *Channel) startRepair() {
	if ch.Suspect() {
		ch.runRepair()
	}
}

// runRepair runs a repair that the timeline has just begun, in the background. The caller
// must hold ch.mu.
func (ch *Channel) runRepair() {
	r := &repair{ch: ch, done: make(chan struct{}), hurry: make(chan struct{}, 1)}
	ch.repairing = r
	all := ch.all
	all.Background.Go(func() {
		defer all.Wall.Catch("repair a channel", func() {
			r.abandon()
			ch.tellMissed()
		})
		r.runUntilWhole(all.Life)
	})
}

// runUntilWhole reads and sends messages until nothing is missing. While the broker cannot be
// reached, it retries for as long as the channel is in use.
func (r *repair) runUntilWhole(ctx context.Context) {
	for vain := 0; ; {
		page, err := r.readMissing(ctx)
		if ctx.Err() != nil || err != nil && !r.ch.inUse() {
			r.abandon()
			return
		}
		outcome := timeline.ReadLater
		if err == nil {
			r.deliverMissing(ctx, page)
			outcome = r.conclude(page)
		}
		switch outcome {
		case timeline.Repaired, timeline.Lost:
			return
		case timeline.ReadOn:
			vain = 0
		case timeline.ReadLater:
			_ = pause.Await(ctx, r.hurry, pause.Backoff(vain))
			vain++
		}
	}
}

func (ch *Channel) inUse() bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return !ch.retired
}

func (r *repair) readMissing(ctx context.Context) (broker.Page, error) {
	all := r.ch.all
	all.repairs <- struct{}{}
	defer func() { <-all.repairs }()
	r.ch.mu.Lock()
	after, most := r.ch.Ask(time.Now())
	r.ch.mu.Unlock()
	return all.Read(ctx, r.ch.name, after, most)
}

// deliverMissing sends the messages that were read. Between portions it waits for sessions
// to write what they have.
func (r *repair) deliverMissing(ctx context.Context, page broker.Page) {
	r.merge(page)
	for messages := page.Messages; ; r.awaitRoom(ctx) {
		messages = r.deliverPortion(messages)
		r.ch.all.Line.Rouse()
		if len(messages) == 0 {
			return
		}
	}
}

func (r *repair) merge(page broker.Page) {
	r.ch.mu.Lock()
	defer r.ch.mu.Unlock()
	if r.ch.Merge(page) {
		r.counted = true
		r.ch.announceGap()
	}
}

// deliverPortion sends as many messages as fit into one portion, and returns the rest.
func (r *repair) deliverPortion(messages []broker.Message) (others []broker.Message) {
	r.ch.mu.Lock()
	defer r.ch.mu.Unlock()
	portion, sent := r.portion(), 0
	for i := range messages {
		if portion > 0 && sent > portion {
			return messages[i:]
		}
		if e := (&timeline.Entry{Message: messages[i]}); r.ch.Follow(e, time.Now()) {
			r.ch.deliver(e)
			if !r.counted {
				r.counted = true
				r.ch.all.Counters.Repaired.Inc()
			}
			sent += len(e.Message.Payload) + FrameOverhead
		}
	}
	return nil
}

// portion returns how many bytes a repair sends at once; 0 means everything.
func (r *repair) portion() int { return r.ch.all.Outboxes.Limit / 4 }

// FrameOverhead is an estimate of the bytes that a protocol adds to a payload.
const FrameOverhead = 256

// awaitRoom waits until every session has room for two portions, but at most for
// repairPatience: slow sessions must not delay the others for long.
func (r *repair) awaitRoom(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, repairPatience)
	defer cancel()
	for crowded := r.crowded(); len(crowded) > 0; crowded = r.crowded() {
		for _, room := range crowded {
			select {
			case <-room:
			case <-ctx.Done():
				return
			}
		}
	}
}

// crowded returns, for each session that has no room, the channel that is closed when there
// may be room.
func (r *repair) crowded() (rooms []<-chan struct{}) {
	r.ch.mu.Lock()
	defer r.ch.mu.Unlock()
	for i := range r.ch.audiences {
		for _, m := range r.ch.audiences[i].members {
			if room := m.out.Room(2*r.portion(), r.ch.all.Outboxes); room != nil {
				rooms = append(rooms, room)
			}
		}
	}
	return rooms
}

// conclude ends the repair if nothing is missing any more or the rest is lost.
func (r *repair) conclude(page broker.Page) timeline.Outcome {
	r.ch.mu.Lock()
	defer r.ch.mu.Unlock()
	outcome := r.ch.Conclude(page)
	switch outcome {
	case timeline.Lost:
		r.ch.announceGap()
		r.end()
	case timeline.Repaired:
		r.end()
	}
	return outcome
}

// end marks the repair as ended. The caller must hold the channel's mu.
func (r *repair) end() {
	close(r.done)
	r.ch.repairing = nil
}

// abandon ends the repair if it has not ended.
func (r *repair) abandon() {
	r.ch.mu.Lock()
	defer r.ch.mu.Unlock()
	if r.ch.repairing == r {
		r.ch.Abandon()
		r.end()
	}
}

// hasten ends a pause early, because the broker may be reachable again.
func (r *repair) hasten() {
	select {
	case r.hurry <- struct{}{}:
	default:
	}
}

// Read reads a range of a channel's history. It times out after ReadTimeout.
func (all *shared) Read(ctx context.Context, channel string, after broker.Position, most broker.Most) (page broker.Page, err error) {
	defer all.Wall.Catch("read a history", func() { err = errPanicked })
	ctx, cancel := context.WithTimeout(ctx, ReadTimeout)
	defer cancel()
	all.Counters.Reads.Inc()
	return all.History.Since(ctx, channel, after, most)
}

var errPanicked = errors.New("a panic while a history was read")
