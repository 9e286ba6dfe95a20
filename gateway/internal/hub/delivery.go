package hub

import (
	"sync/atomic"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/outbox"
	"tidegate/gateway/internal/timeline"
)

// Tracer is told of a message with a Trace that has come to an audience. What it returns
// is called once: when all of its subscribers have been written to, or, if they do not
// take it, after traceLife; nil: nobody wants to know. Neither may block.
type Tracer func(m *broker.Message, received time.Time) (done func(Delivered))

// Delivered is what became of a message on a node.
type Delivered struct {
	Sessions int       // that it was queued for
	Written  int       // of these, whose connection has taken it; on a channel that conflates nobody counts them
	At       time.Time // when the last of them has; if none has, when it was queued
}

// delivery is a message that is traced on its way to the audience of this node.
type delivery struct {
	// Fixed at birth.
	done func(Delivered)

	// Owned by the channel's deliver until sent.
	sessions int
	timer    *time.Timer
	at       time.Time // when sent was called

	awaited atomic.Int64 // sessions that are still to be written to; and one more, until sent
	written atomic.Int64
	last    atomic.Pointer[time.Time] // when the last of these was; nil: none was
	over    atomic.Bool
}

// begin returns how a message is traced; nil: it is not.
func (t Tracer) begin(e *timeline.Entry) *delivery {
	if t == nil || e.Message.Trace == "" {
		return nil
	}
	received := e.Received
	if received.IsZero() {
		received = time.Now()
	}
	m := e.Message // the entry may be used again before that is called
	done := t(&m, received)
	if done == nil {
		return nil
	}
	d := &delivery{done: done}
	d.awaited.Store(1)
	return d
}

// follow returns what is to be called when the message has been written; nil: nothing.
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

// expect is called before the message is queued for a session that is awaited.
func (d *delivery) expect() {
	if d != nil {
		d.awaited.Add(1)
	}
}

// queued takes what became of that.
func (d *delivery) queued(v outbox.Verdict, conflate bool) {
	switch {
	case d == nil:
	case v <= outbox.Wakes:
		d.sessions++
	case !conflate:
		d.awaited.Add(-1) // not the last: deliver itself is one
	}
}

// sent says that all have been queued.
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
