package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"
)

// benchWindow bounds the publications that not every listener has got. Each that
// is on its way has a slot, which it frees when the last listener has it.
type benchWindow struct {
	members   int32
	free      chan uint64
	remaining []atomic.Int32 // listeners that have not got a slot's publication
}

func newBenchWindow(size, members int) *benchWindow {
	w := &benchWindow{members: int32(members), free: make(chan uint64, size), remaining: make([]atomic.Int32, size)}
	for slot := range size {
		w.free <- uint64(slot)
	}
	return w
}

// take returns a free slot for a publication.
func (w *benchWindow) take(ctx context.Context) (uint64, bool) {
	select {
	case slot := <-w.free:
		w.remaining[slot].Store(w.members)
		return slot, true
	case <-ctx.Done():
		return 0, false
	}
}

func (w *benchWindow) arrived(slot uint64) {
	if slot < uint64(len(w.remaining)) && w.remaining[slot].Add(-1) == 0 {
		w.free <- slot
	}
}

// pump publishes until ctx ends.
func (r *loadRun) pump(ctx context.Context) {
	p := &benchPump{run: r, texts: make([][]byte, r.channels)}
	for i, ch := range r.channel {
		p.texts[i] = publishText(ch.name, r.payload)
	}
	var err error
	if r.rate > 0 {
		err = keepPace(ctx, r.rate, p.publishDue)
	} else {
		err = p.publishFree(ctx)
	}
	if err != nil && ctx.Err() == nil {
		r.fail(fmt.Errorf("publish: %w", err))
	}
}

// benchPump publishes on all channels of a run in turn.
type benchPump struct {
	run   *loadRun
	texts [][]byte // a command for each channel
	turn  int
}

func publishText(channel string, payload int) []byte {
	return fmt.Appendf(nil, `{"type":"publish","channel":"%s","data":%s}`, channel, payloadText(payload))
}

func payloadText(size int) string {
	return `{"bench":"` + strings.Repeat("0", publicationDigits) + `","pad":"` + padding(size-leastBenchPayload) + `"}`
}

// padding is a text that can be compressed about as well as JSON in use: prices of
// items, each at random.
func padding(size int) string {
	random := rand.New(rand.NewPCG(1, 1))
	var pad strings.Builder
	for pad.Len() < size {
		fmt.Fprintf(&pad, "{id:%d,item:shelf-%d,price:%.2f,at:%d},", random.IntN(1e6), random.IntN(1000), random.Float64()*1000, 1_700_000_000_000+random.Int64N(1e9))
	}
	return pad.String()[:size]
}

// publishFree fills the window whenever there is room in it, each publisher's
// part by one write.
func (p *benchPump) publishFree(ctx context.Context) error {
	for {
		slot, ok := p.run.window.take(ctx)
		if !ok {
			return nil
		}
		p.add(slot, time.Since(benchEpoch))
		for more := len(p.run.window.free); more > 0; more-- {
			slot, _ := p.run.window.take(ctx)
			p.add(slot, time.Since(benchEpoch))
		}
		if err := p.flush(); err != nil {
			return err
		}
	}
}

func (p *benchPump) publishDue(due time.Duration) error {
	p.add(noSlot, due)
	return p.flush()
}

// add gives the next channel's publisher something to send. A channel has one
// publisher, for its publications to be in order.
func (p *benchPump) add(slot uint64, due time.Duration) {
	at := p.turn % len(p.texts)
	p.turn++
	ch, text := p.run.channel[at], p.texts[at]
	digits := len(text) - len("}") - p.run.payload + len(`{"bench":"`)
	publication{number: ch.published.Add(1), slot: slot, due: due}.put(text[digits:])
	p.run.publishing[at%len(p.run.publishing)].add(text)
	p.run.published.Add(1)
}

func (p *benchPump) flush() error {
	for _, client := range p.run.publishing {
		if err := client.flush(); err != nil {
			return err
		}
	}
	return nil
}

// keepPace calls do at a rate until ctx ends or do fails, with the time that a
// call was due. A call that is late is made up for, and keeps its time.
func keepPace(ctx context.Context, rate float64, do func(due time.Duration) error) error {
	begin := time.Since(benchEpoch)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for k := 0; ; k++ {
		due := begin + time.Duration(float64(k)/rate*float64(time.Second))
		if early := due - time.Since(benchEpoch); early > 0 {
			timer.Reset(early)
			select {
			case <-ctx.Done():
				return nil
			case <-timer.C:
			}
		} else if ctx.Err() != nil {
			return nil
		}
		if err := do(due); err != nil {
			return err
		}
	}
}
