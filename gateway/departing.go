package gateway

import (
	"context"
	"time"
)

// departLinger is how long a channel with history is kept after its last session.
const departLinger = time.Second

// due returns the channels whose time has come.
func (d *departing) due(now time.Time) (due []*channel) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.queue) > 0 && now.Sub(d.queue[0].since) >= departLinger {
		due = append(due, d.queue[0].ch)
		d.queue[0] = departure{}
		d.queue = d.queue[1:]
	}
	return due
}

// releaseDeparted lets go of the channels that nobody has come back to. It does
// not wait for the broker, as a release does while somebody is just coming.
func (h *hub) releaseDeparted(ctx context.Context, now time.Time) {
	due := h.departing.due(now)
	if len(due) == 0 {
		return
	}
	h.gateway.background.Go(func() {
		for _, ch := range due {
			h.release(ctx, ch)
		}
	})
}
