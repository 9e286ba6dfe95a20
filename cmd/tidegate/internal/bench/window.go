package bench

import (
	"context"
	"sync/atomic"
)

// window limits the publications in flight. Each of them has a slot, which becomes free when
// the last listener has received the publication.
type window struct {
	members   int32          // listeners per channel
	free      chan uint64    // free slots
	remaining []atomic.Int32 // per slot, listeners that have not received the publication
}

func newWindow(size, members int) *window {
	w := &window{members: int32(members), free: make(chan uint64, size), remaining: make([]atomic.Int32, size)}
	for slot := range size {
		w.free <- uint64(slot)
	}
	return w
}

// take waits for a free slot and returns it. It returns false if ctx ends.
func (w *window) take(ctx context.Context) (uint64, bool) {
	select {
	case slot := <-w.free:
		w.remaining[slot].Store(w.members)
		return slot, true
	case <-ctx.Done():
		return 0, false
	}
}

func (w *window) arrived(slot uint64) {
	if slot < uint64(len(w.remaining)) && w.remaining[slot].Add(-1) == 0 {
		w.free <- slot
	}
}
