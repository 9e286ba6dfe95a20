package bench

import (
	"context"
	"sync/atomic"
	"time"
)

// channel is a channel of a load. Its publications are numbered from 1.
type channel struct {
	name      string
	published atomic.Uint64
}

// pump publishes on channels in turn.
type pump struct {
	// Immutable once run has started to publish.
	channels []*channel
	clients  []*Client
	window   *window // limits the publications in flight if rate is 0
	rate     float64
	adapter  *adapter
	payload  int
	texts    [][]byte // the publish frame of each channel

	// Owned by run.
	turn int

	published atomic.Uint64
}

// run publishes until ctx ends or a publication cannot be sent.
func (p *pump) run(ctx context.Context) error {
	for _, ch := range p.channels {
		p.texts = append(p.texts, p.adapter.publish(ch.name, p.payload))
	}
	if p.rate > 0 {
		return keepPace(ctx, p.rate, p.publishDue)
	}
	return p.publishFree(ctx)
}

// publishFree publishes whenever there is room in the window, until the window is full. Each
// publisher sends its share in one write.
func (p *pump) publishFree(ctx context.Context) error {
	for {
		slot, ok := p.window.take(ctx)
		if !ok {
			return nil
		}
		p.add(slot, time.Since(epoch))
		for more := len(p.window.free); more > 0; more-- {
			slot, _ := p.window.take(ctx)
			p.add(slot, time.Since(epoch))
		}
		if err := p.flush(); err != nil {
			return err
		}
	}
}

func (p *pump) publishDue(due time.Duration) error {
	p.add(noSlot, due)
	return p.flush()
}

// add queues a publication for the next channel. A channel always has the same publisher,
// which keeps its publications in order.
func (p *pump) add(slot uint64, due time.Duration) {
	at := p.turn % len(p.texts)
	p.turn++
	ch, text := p.channels[at], p.texts[at]
	publication{number: ch.published.Add(1), slot: slot, due: due}.put(text[digitsAt(text):])
	p.clients[at%len(p.clients)].add(text)
	p.published.Add(1)
}

func (p *pump) flush() error {
	for _, client := range p.clients {
		if err := client.flush(); err != nil {
			return err
		}
	}
	return nil
}
