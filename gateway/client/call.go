package client

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

const (
	keyLifetime = 4 * time.Minute // how long a gateway is certain to remember a key

	burst        = 64                    // calls that have waited are sent in bursts, fewer than gateways allow in a second
	burstPause   = 10 * time.Millisecond // between two bursts
	firstPause   = 12 * time.Millisecond // between two calls, once some came too fast; doubles when it happens again
	longestPause = time.Second
	recovery     = 5 * time.Second // in which the pause becomes about a third, so that refusals are seldom
)

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

	// Guarded by mu.
	list    map[int64]*call    // by id
	waiting []*call            // those that feed sends, by id; some may be over
	feeding bool               // new calls wait behind the waiting ones
	newest  int64              // the newest id when feeding began, or when calls were last put back
	held    map[string][]*call // by channel: those to send a little later, since it is unavailable; in order
	rest    time.Time          // nothing that waits is sent before, because something came too fast
	pause   time.Duration      // between two calls; 0: none came too fast
}

// call is a command that waits for its answer, over as many links as necessary. Sending it
// twice has the same effect as sending it once.
type call struct {
	// Fixed at birth.
	id      int64
	channel string
	frame   []byte
	publish bool
	result  chan answer // buffered, for the one answer

	// Guarded by the outlet's mu.
	link *link     // the one it was last sent on; nil if it was refused there
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
	call := &call{id: cmd.ID, channel: cmd.Channel, frame: cmd.encode(), publish: cmd.Type == "publish", result: make(chan answer, 1)}
	c.list[call.id] = call
	switch l := c.open(); {
	case l == nil: // resend sends it
	case c.held[call.channel] != nil:
		c.held[call.channel] = append(c.held[call.channel], call)
	case c.feeding:
		c.waiting = append(c.waiting, call)
	default:
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
	case call.link == nil && c.open() == nil:
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

// resend sends all unanswered calls on a new link, which has not been started, in order. The
// caller must hold mu.
func (c *calls) resend(l *link) {
	c.waiting, c.held = slices.SortedFunc(maps.Values(c.list), byID), map[string][]*call{}
	c.feed(l)
}

// feed sends the waiting calls on l, in order, until there are none. It does not block. The caller
// must hold mu, and be a goroutine of the link unless the link has not been started.
func (c *calls) feed(l *link) {
	c.feeding, c.newest = true, c.lastID
	l.tasks.Go(func() {
		for pause, more := time.Duration(0), true; more && sleep(l.ctx, pause) == nil; {
			pause, more = c.sendNext(l)
		}
	})
}

// sendNext sends the next waiting calls on l, and returns how long to pause then. Those that have
// only waited for others are sent at once, since the client may send them as fast as it did before.
func (c *calls) sendNext(l *link) (_ time.Duration, more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rest, room, pause := time.Until(c.rest), burst, burstPause
	switch {
	case c.link != l:
		return 0, false
	case rest > 0:
		return rest, true
	case len(c.waiting) == 0:
		if c.feeding = false; len(c.held) == 0 {
			c.pause = 0
		}
		return 0, false
	case c.pause > time.Millisecond:
		room, pause = 1, c.pause
		c.pause -= time.Duration(c.pause.Seconds() / recovery.Seconds() * float64(c.pause))
	case c.waiting[0].id > c.newest:
		room, c.feeding = len(c.waiting), false
	}
	for room > 0 && len(c.waiting) > 0 {
		next := c.waiting[0]
		switch held := c.held[next.channel]; {
		case c.list[next.id] != next: // it is over
		case held != nil:
			c.held[next.channel] = insert(held, next)
		default:
			c.sendOnce(l, next)
			room--
		}
		c.waiting[0] = nil // else its frame stays in memory as long as the list
		c.waiting = c.waiting[1:]
	}
	return pause, c.feeding
}

// refuse handles an error that answers a call on l. If the error is temporary, the call waits to
// be sent again; otherwise it fails. It ignores a call that is now on another link.
func (c *calls) refuse(l *link, id int64, err *Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	call := c.list[id]
	switch {
	case call == nil || call.link != l:
	case err.temporary() && c.link != l: // it waits for the next link
	case err.temporary():
		call.link, call.last = nil, err
		if err.Code == "rate_limited" {
			c.slowDown()
			c.putBack(l, call)
		} else {
			c.hold(l, call)
		}
	default:
		c.complete(call, answer{err: err})
	}
}

// slowDown is called when a call came too fast. The caller must hold mu.
func (c *calls) slowDown() {
	if now := time.Now(); now.After(c.rest) { // else it was sent together with another one that was refused
		c.rest = now.Add(spread(time.Second))
		c.pause = min(max(2*c.pause, firstPause), longestPause)
	}
}

// putBack lets calls wait that were refused. The caller must hold mu.
func (c *calls) putBack(l *link, list ...*call) {
	for _, call := range list {
		c.waiting = insert(c.waiting, call)
	}
	c.newest = c.lastID
	if !c.feeding {
		c.feed(l)
	}
}

// hold keeps a call back because its channel is unavailable, and with it all later calls of the
// channel, so that they are not sent before it. The caller must hold mu.
func (c *calls) hold(l *link, call *call) {
	if c.held[call.channel] == nil {
		l.later(spread(time.Second), func() { c.release(l, call.channel) })
	}
	c.held[call.channel] = insert(c.held[call.channel], call)
}

// release sends the calls that are held.
func (c *calls) release(l *link, channel string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link != l {
		return
	}
	list := c.held[channel]
	delete(c.held, channel)
	c.putBack(l, list...)
}

// insert inserts a call into a list that is sorted by id.
func insert(list []*call, call *call) []*call {
	at, _ := slices.BinarySearchFunc(list, call, byID)
	return slices.Insert(list, at, call)
}

func byID(a, b *call) int { return cmp.Compare(a.id, b.id) }

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
