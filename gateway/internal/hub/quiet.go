package hub

import (
	"context"
	"time"

	"tidegate/broker"
)

// CheckQuiet checks whether this node has missed the newest message of a channel. It checks
// the channels with history that are at rest, and repairs those that have missed something.
// The broker is asked once for each channel on this node, however many sessions the channel
// has.
func (h *Hub) CheckQuiet(ctx context.Context) {
	var channels []*Channel
	var before []broker.Position
	h.Each(func(ch *Channel) {
		if at, ok := ch.restsAt(); ok {
			channels, before = append(channels, ch), append(before, at)
		}
	})
	for len(channels) > 0 && ctx.Err() == nil {
		n := min(len(channels), checkGroup)
		h.checkGroup(ctx, channels[:n], before[:n])
		channels, before = channels[n:], before[n:]
	}
}

const checkGroup = 500

func (h *Hub) checkGroup(ctx context.Context, channels []*Channel, before []broker.Position) {
	names := make([]string, len(channels))
	for i, ch := range channels {
		names[i] = ch.name
	}
	ctx, cancel := context.WithTimeout(ctx, ReadTimeout)
	defer cancel()
	tops, _ := h.History.Tops(ctx, names) // the check of the link reports errors
	for i, top := range tops {
		if !top.IsZero() {
			channels[i].compare(before[i], top.Position)
		}
	}
}

// restsAt returns the channel's position, and whether it is to be checked. It also drops
// expired messages from the tail.
func (ch *Channel) restsAt() (broker.Position, bool) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.past == nil {
		return broker.Position{}, false
	}
	return ch.At(), ch.Resting(time.Now()) && ch.keepsHistory()
}

// compare starts a repair if the channel is still at the position before, but its history is
// not.
func (ch *Channel) compare(before, top broker.Position) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.Differs(before, top) {
		ch.startRepair()
	}
}
