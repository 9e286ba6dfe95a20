package api

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"tidegate/broker"
	"tidegate/gateway"
)

const (
	maxBatch      = 1000    // publishes of one request
	maxBatchBytes = 8 << 20 // or what two of the largest messages take
	batchWorkers  = 16      // publishes under way at once, for each request
)

// publishBatch answers 200 only if every message was published; else by the
// status of the first error, and the results say which were.
func (h *Handler) publishBatch(r *request) (any, error) {
	body, err := r.readBody(max(maxBatchBytes, 2*h.gateway.Limits().MessageBytes))
	if err != nil {
		return nil, err
	}
	publishes, err := parseBatch(body)
	if err != nil {
		return nil, err
	}
	results := batchResults{Results: make([]batchResult, len(publishes))}
	var first error
	b := &batch{gateway: h.gateway, by: r.by, publishes: publishes, outcomes: make([]outcome, len(publishes))}
	b.publish(r.Context())
	for i, done := range b.outcomes {
		if done.err == nil {
			cursor := done.position.String()
			results.Results[i].Cursor = &cursor
			continue
		}
		e := toldOf(done.err)
		results.Results[i].Error = &e
		if first == nil {
			first, results.Error = done.err, &e
		}
	}
	return results, first
}

// parseBatch returns one publish for each item and channel, in order.
func parseBatch(body []byte) ([]gateway.Publish, error) {
	if !utf8.Valid(body) {
		return nil, fail(gateway.BadRequest, "the body is not UTF-8")
	}
	var items []batchItem
	if err := json.Unmarshal(body, &items); err != nil {
		return nil, fail(gateway.BadRequest, `the body is not a list of messages: want [{"channels":["a"],"data":1}]`)
	}
	var publishes []gateway.Publish
	for i, item := range items {
		payload, kind, ok := item.payload()
		switch {
		case !ok:
			return nil, fail(gateway.BadRequest, "message %d: give one of data, text and binary", i+1)
		case len(item.Channels) == 0:
			return nil, fail(gateway.BadRequest, "message %d: channels is missing", i+1)
		case len(publishes)+len(item.Channels) > maxBatch:
			return nil, fail(gateway.TooLarge, "the batch has more than %d publishes: split it", maxBatch)
		}
		for _, channel := range item.Channels {
			publishes = append(publishes, gateway.Publish{
				Channel: channel, Payload: payload, Kind: kind, Event: item.Event, Key: item.Key,
			})
		}
	}
	return publishes, nil
}

// payload returns the only one given.
func (f payloadFields) payload() (payload []byte, kind broker.Kind, ok bool) {
	given := 0
	if f.Data != nil {
		payload, kind, given = f.Data, broker.JSON, given+1
	}
	if f.Text != nil {
		payload, kind, given = []byte(*f.Text), broker.Text, given+1
	}
	if f.Binary != nil {
		payload, kind, given = *f.Binary, broker.Binary, given+1
	}
	return payload, kind, given == 1
}

// batch is the publishes of one request.
type batch struct {
	gateway   *gateway.Gateway
	by        *gateway.Principal
	publishes []gateway.Publish
	outcomes  []outcome // each written by the worker that has its channel
	away      atomic.Pointer[outcome]
}

type outcome struct {
	position broker.Position
	err      error
}

// publish returns when each has its outcome. Those of one channel go out in
// order, the channels beside each other.
func (b *batch) publish(ctx context.Context) {
	lines := make(chan []int)
	var workers sync.WaitGroup
	for range batchWorkers {
		workers.Go(func() {
			for line := range lines {
				b.publishLine(ctx, line)
			}
		})
	}
	for _, line := range byChannel(b.publishes) {
		lines <- line
	}
	close(lines)
	workers.Wait()
}

// publishLine publishes those of one channel. After one that was not confirmed,
// here or by another worker, it tries no more: each would take a second, and
// those of the channel would change their order.
func (b *batch) publishLine(ctx context.Context, line []int) {
	done := 0
	defer b.gateway.Wall().Catch("publish a batch", func() {
		for _, i := range line[done:] {
			b.outcomes[i] = outcome{err: errPanicked}
		}
	})
	for ; done < len(line); done++ {
		i := line[done]
		if away := b.away.Load(); away != nil {
			b.outcomes[i] = *away
			continue
		}
		position, err := b.gateway.Publish(ctx, b.by, b.publishes[i])
		b.outcomes[i] = outcome{position, err}
		if errors.Is(err, broker.ErrUnavailable) {
			b.away.Store(&outcome{err: err})
		}
	}
}

var errPanicked = errors.New("a panic ended the publish")

// byChannel returns the places of each channel's messages, in the order of the
// channels' first.
func byChannel(publishes []gateway.Publish) [][]int {
	var lines [][]int
	place := make(map[string]int)
	for i, publish := range publishes {
		at, ok := place[publish.Channel]
		if !ok {
			at = len(lines)
			place[publish.Channel] = at
			lines = append(lines, nil)
		}
		lines[at] = append(lines[at], i)
	}
	return lines
}
