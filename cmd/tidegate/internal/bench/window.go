package bench

import (
	"context"
	"sync/atomic"
)

// window bounds the publications that not every listener has got. Each that
// is on its way has a slot, which it frees when the last listener has it.
type window struct {
	members   int32
	free      chan uint64
	remaining []atomic.Int32 // listeners that have not got a slot's publication
}

func newWindow(size, members int) *window {
	w := &window{members: int32(members), free: make(chan uint64, size), remaining: make([]atomic.Int32, size)}
	for slot := range size {
		w.free <- uint64(slot)
	}
	return w
}

// take returns a free slot for a publication.
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
