package client

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// keyLifetime is how long a gateway surely knows a key that it has seen.
const keyLifetime = 4 * time.Minute

// Publication is a publish that may not have been confirmed yet.
type Publication struct {
	calls *calls
	call  *call
}

// Wait returns the message's cursor once it is confirmed. If ctx ends before,
// the message is not sent any more, but may have been published. Wait is called
// once.
func (p *Publication) Wait(ctx context.Context) (cursor string, err error) {
	f, err := p.calls.wait(ctx, p.call)
	if err != nil {
		return "", err
	}
	return f.Cursor, nil
}

// calls are what waits for an answer.
type calls struct {
	*outlet
	list map[int64]*call // by id; guarded by mu
}

// call is a command that waits for its answer, over as many links as it takes.
// Sent twice, it does no more than sent once.
type call struct {
	// Fixed at birth.
	id      int64
	frame   []byte
	publish bool
	result  chan answer // holds the one answer

	// Guarded by the outlet's mu.
	link *link     // it was last sent on
	sent time.Time // first
	last error     // why it was refused for a moment
}

type answer struct {
	frame *frame
	err   error
}

func (c *calls) begin(cmd command) *call {
	c.mu.Lock()
	defer c.mu.Unlock()
	cmd.ID = c.newID()
	call := &call{id: cmd.ID, frame: cmd.encode(), publish: cmd.Type == "publish", result: make(chan answer, 1)}
	c.list[call.id] = call
	if c.link != nil {
		c.send(c.link, call)
	}
	return call
}

// send puts a call on a link. The caller holds mu.
func (c *calls) send(l *link, call *call) {
	call.link = l
	if call.sent.IsZero() {
		call.sent = time.Now()
	}
	l.push(call.frame)
}

// wait returns the call's answer, or gives it up when ctx ends.
func (c *calls) wait(ctx context.Context, call *call) (*frame, error) {
	defer c.forget(call)
	select {
	case a := <-call.result:
		return a.frame, a.err
	case <-c.ended:
		return nil, c.end
	case <-ctx.Done():
		return nil, c.overdue(ctx, call)
	}
}

func (c *calls) overdue(ctx context.Context, call *call) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case call.last != nil:
		return fmt.Errorf("%w; the last answer was: %w", context.Cause(ctx), call.last)
	case call.link == nil:
		return fmt.Errorf("not connected: %w", context.Cause(ctx))
	}
	return fmt.Errorf("no answer: %w", context.Cause(ctx))
}

func (c *calls) forget(call *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.list, call.id)
}

// answer takes the answer of whatever link it came on.
func (c *calls) answer(f *frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if call := c.list[f.ID]; call != nil {
		c.complete(call, answer{frame: f})
	}
}

// complete ends a call. The caller holds mu.
func (c *calls) complete(call *call, a answer) {
	delete(c.list, call.id)
	call.result <- a
}

// resend sends what is not answered on a new link, in order, but for publishes
// that the gateway may not recognise any more. The caller holds mu.
func (c *calls) resend(l *link) {
	for _, id := range slices.Sorted(maps.Keys(c.list)) {
		c.sendOnce(l, c.list[id])
	}
}

// refuse ends a call with an error, unless another link will answer it. If it may
// succeed a little later, it is sent again then.
func (c *calls) refuse(l *link, id int64, err *Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	call := c.list[id]
	switch {
	case call == nil || call.link != l:
	case err.temporary():
		call.last = err
		l.later(spread(time.Second), func() { c.sendAgain(l, call) })
	default:
		c.complete(call, answer{err: err})
	}
}

// sendAgain sends a call that was refused for a moment, unless it was answered
// or went to another link meanwhile.
func (c *calls) sendAgain(l *link, call *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.list[call.id] == call && call.link == l {
		c.sendOnce(l, call)
	}
}

// sendOnce sends a call if that cannot publish twice. The caller holds mu.
func (c *calls) sendOnce(l *link, call *call) {
	if call.publish && !call.sent.IsZero() && time.Since(call.sent) > keyLifetime {
		c.complete(call, answer{err: ErrUncertain})
		return
	}
	c.send(l, call)
}

// failLargest ends the largest publish that went out on l: the gateway closes a
// connection for a frame that is too large, and does not say which.
func (c *calls) failLargest(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var largest *call
	for _, call := range c.list {
		if call.link == l && (largest == nil || len(call.frame) > len(largest.frame)) {
			largest = call
		}
	}
	if largest != nil {
		c.complete(largest, answer{err: &Error{Code: "too_large", Message: "the gateway does not take frames of this size"}})
	}
}
