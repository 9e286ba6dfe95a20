package hub

import (
	"sync/atomic"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/outbox"
	"tidegate/gateway/internal/timeline"
)

// Tracer is called for each message with a Trace that is delivered to an audience. The
// function it returns is called once: when the message has been written to all of its
// subscribers, or after traceLife if some do not take it. Tracer returns nil if the result
// is not wanted. Neither function may block.
type Tracer func(m *broker.Message, received time.Time) (done func(Delivered))

// Delivered is the outcome of a message's delivery on one node.
type Delivered struct {
	Sessions int       // sessions that it was queued for
	Written  int       // taken by their connections; not counted if the channel conflates
	At       time.Time // when the last connection took it, or when it was queued if none has
}

// delivery tracks a traced message on its way to the audience of this node.
type delivery struct {
	// Fixed at birth.
	done func(Delivered)

	// Owned by Channel.deliver until it calls sent.
	sessions int
	timer    *time.Timer
	at       time.Time // when sent was called

	awaited atomic.Int64 // sessions still to be written to, plus one until sent is called
	written atomic.Int64
	last    atomic.Pointer[time.Time] // when the last of them was written; nil if none has been
	over    atomic.Bool
}

// begin returns the delivery of a traced message, or nil if the message is not traced.
func (t Tracer) begin(e *timeline.Entry) *delivery {
	if t == nil || e.Message.Trace == "" {
		return nil
	}
	received := e.Received
	if received.IsZero() {
		received = time.Now()
	}
	m := e.Message // the entry may be reused before done is called
	done := t(&m, received)
	if done == nil {
		return nil
	}
	d := &delivery{done: done}
	d.awaited.Store(1)
	return d
}

// follow returns the function to call when the message has been written, or nil for a nil d.
func (d *delivery) follow() func() {
	if d == nil {
		return nil
	}
	return func() {
		now := time.Now()
		d.last.Store(&now)
		d.written.Add(1)
		d.leave()
	}
}

// expect must be called before the message is queued for a session whose write is awaited.
func (d *delivery) expect() {
	if d != nil {
		d.awaited.Add(1)
	}
}

// queued records the outcome of queuing the message for one session.
func (d *delivery) queued(v outbox.Verdict, conflate bool) {
	switch {
	case d == nil:
	case v <= outbox.Wakes:
		d.sessions++
	case !conflate:
		d.awaited.Add(-1) // cannot reach zero: sent has not been called yet
	}
}

// sent records that the message has been queued for all sessions.
func (d *delivery) sent() {
	if d == nil {
		return
	}
	d.at = time.Now()
	d.timer = time.AfterFunc(traceLife, d.end)
	d.leave()
}

func (d *delivery) leave() {
	if d.awaited.Add(-1) == 0 {
		d.timer.Stop()
		d.end()
	}
}

func (d *delivery) end() {
	if !d.over.CompareAndSwap(false, true) {
		return
	}
	what := Delivered{d.sessions, int(d.written.Load()), d.at}
	if last := d.last.Load(); last != nil {
		what.At = *last
	}
	d.done(what)
}
