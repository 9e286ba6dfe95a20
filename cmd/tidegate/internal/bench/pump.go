package bench

import (
	"context"
	"sync/atomic"
	"time"
)

// channel is a channel of a load. Its publications are numbered from 1.
type channel struct {
	name      string
	text      []byte // the frame that publishes; owned by pump
	published atomic.Uint64
}

// pump publishes on the channels in turn until ctx ends or a publication cannot be sent.
func (r *loadRun) pump(ctx context.Context) error {
	for _, ch := range r.channel {
		ch.text = r.site.adapter.publish(ch.name, r.payload)
	}
	if r.rate > 0 {
		return keepPace(ctx, r.rate, r.publishDue)
	}
	return r.publishFree(ctx)
}

// publishFree publishes whenever there is room in the window, until the window is full. Each
// publisher sends its share in one write.
func (r *loadRun) publishFree(ctx context.Context) error {
	for {
		slot, ok := r.window.take(ctx)
		if !ok {
			return nil
		}
		r.add(slot, time.Since(epoch))
		for more := len(r.window.free); more > 0; more-- {
			slot, _ := r.window.take(ctx)
			r.add(slot, time.Since(epoch))
		}
		if err := r.flush(); err != nil {
			return err
		}
	}
}

func (r *loadRun) publishDue(due time.Duration) error {
	r.add(noSlot, due)
	return r.flush()
}

// add queues a publication for the next channel. A channel always has the same publisher,
// which keeps its publications in order.
func (r *loadRun) add(slot uint64, due time.Duration) {
	at := int(r.published.Add(1)-1) % len(r.channel)
	ch := r.channel[at]
	publication{number: ch.published.Add(1), slot: slot, due: due}.put(ch.text[digitsAt(ch.text):])
	r.publishing[at%len(r.publishing)].add(ch.text)
}

func (r *loadRun) flush() error {
	for _, client := range r.publishing {
		if err := client.flush(); err != nil {
			return err
		}
	}
	return nil
}
