package hub

import (
	"cmp"
	"sync/atomic"
	"time"

	"tidegate/broker"
	"tidegate/broker/lock"
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
	Written  int       // taken by their connections
	At       time.Time // when the last connection took it, or when it was queued if none has
}

// Copy is what became of a followed message for one session.
type Copy struct {
	By   Subscriber
	Fate Fate
}

// Fate is the state of one Copy.
type Fate string

const (
	Waiting   Fate = "waiting"   // not known yet
	Written   Fate = "written"   // the connection has taken it
	Conflated Fate = "conflated" // a newer message has replaced it
	Skipped   Fate = "skipped"   // the session must not receive it
	Unsaid    Fate = "unsaid"    // the protocol cannot express it
	Ended     Fate = "ended"     // the session ended before it was written to
)

// delivery follows a message on its way to the audience of this node, for a Tracer or for
// Hub.Trace. The methods of a nil delivery do nothing.
type delivery struct {
	traced *traced   // the message, if Hub.Trace follows it; else nil
	began  time.Time // fixed at birth

	// Guarded by mu.
	mu     lock.Mutex[lock.Traced]
	copies []Copy          // one for each session in the audience
	open   int             // copies that wait, plus one until sent is called
	at     time.Time       // when a copy was last written; zero: none was
	done   func(Delivered) // tells the Tracer; nil: it is told, or does not ask
	timer  *time.Timer     // calls giveUp; set by sent if done is
}

// track returns the delivery of a message that the audience is about to be sent, or nil if it
// is not followed. The caller must hold ch.mu.
func (ch *Channel) track(e *timeline.Entry) *delivery {
	traced, done := ch.all.following.begin(ch, &e.Message), ch.all.Trace.begin(e)
	if traced == nil && done == nil {
		return nil
	}
	return &delivery{traced: traced, began: time.Now(), open: 1, done: done}
}

// begin returns the function that tells the outcome, or nil if the message is not traced.
func (t Tracer) begin(e *timeline.Entry) (done func(Delivered)) {
	if t == nil || e.Message.Trace == "" {
		return nil
	}
	m := e.Message // the entry may be reused before done is called
	return t(&m, cmp.Or(e.Received, time.Now()))
}

// add adds the copy of a session that receives the message, before it is queued. It returns
// what the outbox is to call.
func (d *delivery) add(by Subscriber) (became func(written bool)) {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	at := len(d.copies)
	d.copies = append(d.copies, Copy{by, Waiting})
	d.open++
	return func(written bool) {
		if written {
			d.settle(at, Written)
		} else {
			d.settle(at, Conflated)
		}
	}
}

// queued records the outcome of queuing the copy added last.
func (d *delivery) queued(v outbox.Verdict) {
	if d != nil && v > outbox.Wakes {
		d.settle(len(d.copies)-1, Ended)
	}
}

// leaveOut adds the copy of a session that does not receive the message.
func (d *delivery) leaveOut(by Subscriber, why Fate) {
	if d != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.copies = append(d.copies, Copy{by, why})
	}
}

// sent records that the message has been queued for all sessions.
func (d *delivery) sent() {
	if d == nil {
		return
	}
	if d.traced != nil {
		d.traced.delivery.Store(d)
		d.traced.heard.Add(1)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.done != nil {
		d.timer = time.AfterFunc(traceLife, d.giveUp)
	}
	d.close()
}

// settle sets the fate of a copy that has waited.
func (d *delivery) settle(at int, f Fate) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.copies[at].Fate = f; f == Written {
		d.at = time.Now()
	}
	d.close()
}

// close counts down open, and tells the Tracer at the end. The caller must hold mu.
func (d *delivery) close() {
	if d.open--; d.open == 0 {
		d.tell()
	}
}

func (d *delivery) giveUp() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tell()
}

// tell tells the Tracer, once. The caller must hold mu.
func (d *delivery) tell() {
	if d.done == nil {
		return
	}
	d.timer.Stop()
	what := Delivered{At: cmp.Or(d.at, d.began)}
	for _, c := range d.copies {
		switch c.Fate {
		case Written:
			what.Written++
			what.Sessions++
		case Waiting, Conflated:
			what.Sessions++
		}
	}
	d.done(what)
	d.done = nil
}

// traced is a message that Hub.Trace follows.
type traced struct {
	// Fixed at birth.
	channel string
	mark    string
	sum     string // SumOf its payload, which identifies it on a channel without envelopes

	delivery atomic.Pointer[delivery] // of the first time that it was received; nil: it was not
	heard    atomic.Int32             // how often it was received
}

func (t *traced) report() Report {
	d := t.delivery.Load()
	if d == nil {
		return Report{}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	r := Report{Heard: int(t.heard.Load()), First: d.began, Copies: append([]Copy(nil), d.copies...)}
	for i := range r.Copies {
		if c := &r.Copies[i]; c.Fate == Waiting && c.By.Outbox().Over() {
			c.Fate = Ended
		}
	}
	return r
}
