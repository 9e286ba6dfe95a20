package gateway

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"tidegate/broker"
)

// arrival is a channel that is to be live: the broker delivers its messages, and
// its position is known if it has one.
type arrival struct {
	ch  *channel
	err error // why it is not
}

// subscribeLive makes channels live, each named once, in as few round trips as
// can be; what fails is noted. Joining and leaving one channel at the broker is
// serialised by its joining, across the broker's round trips. The caller holds
// the channels, unless their session has ended meanwhile.
func (h *hub) subscribeLive(ctx context.Context, arrivals []*arrival) {
	ordered := slices.Clone(arrivals)
	slices.SortFunc(ordered, func(a, b *arrival) int { return strings.Compare(a.ch.name, b.ch.name) })
	for _, a := range ordered { // in the one order in which everybody locks several
		a.ch.joining.Lock()
		defer a.ch.joining.Unlock()
	}
	h.deliverAll(ctx, arrivals)
	h.followAll(ctx, arrivals)
	h.locateAll(ctx, arrivals)
}

// deliverAll subscribes at the broker. The caller holds each joining.
func (h *hub) deliverAll(ctx context.Context, arrivals []*arrival) {
	var names []string
	for _, a := range arrivals {
		switch {
		case !h.shard(a.ch.name).held(a.ch):
			a.err = failf(Unavailable, "the session has ended") // nobody would unsubscribe
		case !a.ch.live:
			names = append(names, a.ch.name)
		}
	}
	if len(names) == 0 {
		return
	}
	err := h.gateway.broker.Subscribe(ctx, names...)
	for _, a := range arrivals {
		if a.err == nil && !a.ch.live {
			a.err = broker.WhyNot(err, a.ch.name)
			a.ch.live = a.err == nil
		}
	}
}

// followAll follows the joins and leaves of the channels that tell them. The
// caller holds each joining.
func (h *hub) followAll(ctx context.Context, arrivals []*arrival) {
	var following sync.WaitGroup
	for _, a := range arrivals {
		if a.err == nil && h.mustFollow(a.ch) {
			following.Go(func() { a.err = h.follow(ctx, a.ch) })
		}
	}
	following.Wait()
}

// locateAll reads the positions that are not known. The caller holds each
// joining.
func (h *hub) locateAll(ctx context.Context, arrivals []*arrival) {
	var lost []*arrival
	var looks []uint64
	var names []string
	for _, a := range arrivals {
		if a.err == nil && a.ch.keepsHistory() && !a.ch.knowsPosition() {
			lost, looks, names = append(lost, a), append(looks, a.ch.beginLook()), append(names, a.ch.name)
		}
	}
	if len(lost) == 0 {
		return
	}
	tops, err := h.gateway.history.Tops(ctx, names)
	for i, a := range lost {
		if i < len(tops) && !tops[i].Position.IsZero() {
			a.ch.startAt(tops[i], looks[i])
		} else {
			a.err = fmt.Errorf("read the position of %q: %w", a.ch.name, err)
		}
	}
}
