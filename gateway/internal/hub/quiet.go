package hub

import (
	"context"
	"slices"
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
	for group := range slices.Chunk(all, checkGroup) {
		h.look(ctx, group)
	}
	for _, q := range all {
		q.ifBehind(func() { behind = append(behind, q) })
	}
	if len(behind) == 0 || !pause.For(ctx, arrival) {
		return
	}
	for _, q := range behind {
		q.ifBehind(q.channel.startRepair)
	}
}

const (
	checkGroup = 500
	arrival    = time.Second // what is in the history is not missed if it arrives within this time
)

// quiet is a channel that is checked.
type quiet struct {
	channel *Channel
	at      broker.Position // of the channel
	top     broker.Position // of its history; zero if it could not be read
}

// look reads the tops of the channels, unless ctx has ended.
func (h *Hub) look(ctx context.Context, all []quiet) {
	if ctx.Err() != nil {
		return
	}
	names := make([]string, len(all))
	for i, q := range all {
		names[i] = q.channel.name
	}
	ctx, cancel := context.WithTimeout(ctx, ReadTimeout)
	defer cancel()
	tops, _ := h.History.Tops(ctx, names) // the check of the link reports errors
	for i, top := range tops {
		all[i].top = top.Position
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

// ifBehind calls do if the channel is still where it was, but its history is not.
func (q *quiet) ifBehind(do func()) {
	q.channel.mu.Lock()
	defer q.channel.mu.Unlock()
	if !q.top.IsZero() && q.channel.keepsHistory() && q.channel.Differs(q.at, q.top) {
		do()
	}
}
