package hub

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"tidegate/broker"
)

// MakeLive subscribes to the channels of joins at the broker, in as few round trips as
// possible, and reads the positions of those with history. The joins must be of different
// channels; MakeLive sorts them. Errors are stored in their Err fields. MakeLive holds each channel's joining
// lock across the round trips, which serializes joining and leaving that channel at the
// broker. The session may end meanwhile.
func (h *Hub) MakeLive(ctx context.Context, joins []*Join) {
	slices.SortFunc(joins, func(a, b *Join) int { return strings.Compare(a.ch.name, b.ch.name) }) // to avoid deadlocks
	for _, j := range joins {
		j.ch.joining.Lock()
	}
	defer func() {
		for _, j := range joins {
			j.ch.joining.Unlock()
		}
	}()
	h.deliverAll(ctx, joins)
	h.followAll(ctx, joins)
	h.locateAll(ctx, joins)
}

// deliverAll subscribes at the broker. The caller must hold joining of each channel.
func (h *Hub) deliverAll(ctx context.Context, joins []*Join) {
	var names []string
	for i, j := range joins {
		switch {
		case h.shard(j.ch.name).holds(j.ch) <= 0:
			j.Err = ErrGone // nobody holds the channel, so nobody would unsubscribe
		case !j.ch.live:
			names = append(slices.Grow(names, len(joins)-i), j.ch.name)
		}
	}
	if len(names) == 0 {
		return
	}
	err := h.Broker.Subscribe(ctx, names...)
	for _, j := range joins {
		if j.Err == nil && !j.ch.live {
			j.Err = broker.WhyNot(err, j.ch.name)
			j.ch.live = j.Err == nil
		}
	}
}

// followAll follows the joins and leaves of the channels that report them. The caller must
// hold joining of each channel.
func (h *Hub) followAll(ctx context.Context, joins []*Join) {
	must := func(j *Join) bool { return j.Err == nil && j.ch.mustFollow() }
	if !slices.ContainsFunc(joins, must) {
		return
	}
	var following sync.WaitGroup
	for _, j := range joins {
		if must(j) {
			following.Go(func() { j.Err = j.ch.follow(ctx) })
		}
	}
	following.Wait()
}

// locateAll reads the positions that are not known yet. The caller must hold joining of each
// channel.
func (h *Hub) locateAll(ctx context.Context, joins []*Join) {
	var lost []*Join
	var looks []uint64
	var names []string
	for _, j := range joins {
		if j.Err == nil && j.ch.keepsHistory() && !j.ch.knowsPosition() {
			lost, looks, names = append(lost, j), append(looks, j.ch.beginLook()), append(names, j.ch.name)
		}
	}
	if len(lost) == 0 {
		return
	}
	tops, err := h.History.Tops(ctx, names)
	for i, j := range lost {
		if i < len(tops) && !tops[i].Position.IsZero() {
			j.ch.startAt(tops[i], looks[i])
		} else {
			j.Err = fmt.Errorf("read the position of %q: %w", j.ch.name, err)
		}
	}
}
