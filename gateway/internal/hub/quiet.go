package hub

import (
	"context"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/pause"
)

// CheckQuiet checks whether this node has missed the newest message of a channel. It checks
// the channels with history that are at rest, and repairs those that have missed something.
// The broker is asked once for each channel on this node, however many sessions the channel
// has.
func (h *Hub) CheckQuiet(ctx context.Context) {
	var all, behind []quiet
	h.Each(func(ch *Channel) {
		if at, ok := ch.restsAt(); ok {
			all = append(all, quiet{channel: ch, at: at})
		}
	})
	for len(all) > 0 && ctx.Err() == nil {
		n := min(len(all), checkGroup)
		behind = append(behind, h.areBehind(ctx, all[:n])...)
		all = all[n:]
	}
	if len(behind) == 0 || !pause.For(ctx, arrival) {
		return
	}
	for _, q := range behind {
		q.repair()
	}
}

const (
	checkGroup = 500
	arrival    = time.Second // what is in the history is not missed if it arrives within this time
)

// quiet is a channel that is checked.
type quiet struct {
	channel *Channel
	at, top broker.Position // of the channel, and of its history
}

// areBehind returns those of the channels that have not received what their history has.
func (h *Hub) areBehind(ctx context.Context, all []quiet) (behind []quiet) {
	names := make([]string, len(all))
	for i, q := range all {
		names[i] = q.channel.name
	}
	ctx, cancel := context.WithTimeout(ctx, ReadTimeout)
	defer cancel()
	tops, _ := h.History.Tops(ctx, names) // the check of the link reports errors
	for i, top := range tops {
		if q := all[i]; !top.IsZero() {
			if q.top = top.Position; q.isBehind() {
				behind = append(behind, q)
			}
		}
	}
	return behind
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

// isBehind reports whether the channel is still where it was, but its history is not.
func (q *quiet) isBehind() bool {
	q.channel.mu.Lock()
	defer q.channel.mu.Unlock()
	return q.channel.Differs(q.at, q.top)
}

// repair starts a repair if the channel is still behind.
func (q *quiet) repair() {
	q.channel.mu.Lock()
	defer q.channel.mu.Unlock()
	if q.channel.Differs(q.at, q.top) {
		q.channel.startRepair()
	}
}
