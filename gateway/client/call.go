package client

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// keyLifetime is how long a gateway is certain to remember a key.
const keyLifetime = 4 * time.Minute

// Publication is a publish that may not have been confirmed yet.
type Publication struct {
	calls *calls
	call  *call
}

// Wait blocks until the message is confirmed and returns its cursor. If ctx ends first,
// Wait returns an error and the message is not sent again, but it may have been published.
// Wait must be called exactly once.
func (p *Publication) Wait(ctx context.Context) (cursor string, err error) {
	f, err := p.calls.wait(ctx, p.call)
	if err != nil {
		return "", err
	}
	return f.Cursor, nil
}

// calls holds the commands that wait for an answer.
type calls struct {
	*outlet
	list map[int64]*call // by id; guarded by mu
}

// call is a command that waits for its answer, over as many links as necessary. Sending it
// twice has the same effect as sending it once.
type call struct {
	// Fixed at birth.
	id      int64
	frame   []byte
	publish bool
	result  chan answer // buffered, for the one answer

	// Guarded by the outlet's mu.
	link *link     // the one it was last sent on
	sent time.Time // when it was first sent
	last error     // the last temporary refusal
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
	if l := c.open(); l != nil {
		c.send(l, call)
	}
	return call
}

// send sends a call on a link. The caller must hold mu.
func (c *calls) send(l *link, call *call) {
	call.link = l
	if call.sent.IsZero() {
		call.sent = time.Now()
	}
	l.push(call.frame)
}

// wait blocks until the call is answered. If ctx ends first, it abandons the call.
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

// answer completes the call that f answers, no matter on which link it arrived.
func (c *calls) answer(f *frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if call := c.list[f.ID]; call != nil {
		c.complete(call, answer{frame: f})
	}
}

// complete ends a call. The caller must hold mu.
func (c *calls) complete(call *call, a answer) {
	delete(c.list, call.id)
	call.result <- a
}

// resend sends all unanswered calls on a new link, in order, except for publishes whose key
// the gateway may have forgotten. The caller must hold mu.
func (c *calls) resend(l *link) {
	for _, id := range slices.Sorted(maps.Keys(c.list)) {
		c.sendOnce(l, c.list[id])
	}
}

// refuse handles an error that answers a call on l. If the error is temporary, the call is sent
// again a little later; otherwise it fails. It ignores a call that is now on another link.
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

// sendAgain sends a call that was temporarily refused, unless it has been answered or moved
// to another link since.
func (c *calls) sendAgain(l *link, call *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.list[call.id] == call && call.link == l {
		c.sendOnce(l, call)
	}
}

// sendOnce sends a call unless that might publish it twice. The caller must hold mu.
func (c *calls) sendOnce(l *link, call *call) {
	if call.publish && !call.sent.IsZero() && age(call.sent) > keyLifetime {
		c.complete(call, answer{err: ErrUncertain})
		return
	}
	c.send(l, call)
}

// age returns the time since t by the clock that says more: the monotonic one may stand still
// while the computer sleeps.
func age(t time.Time) time.Duration { return max(time.Since(t), time.Since(t.Round(0))) }

// failLargest fails the largest call that was sent on l: the gateway closes the connection
// when a frame is too large, but does not say which one.
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
