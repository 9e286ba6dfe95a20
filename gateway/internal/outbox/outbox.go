// Package outbox is what waits to be written to sessions, and the line in which
// their outboxes wait for somebody to write it.
//
// A frame goes in by Push, PushMessage or PushLatest. If the answer is Wakes, the
// caller puts the outbox in line. Who takes it from the line is its
// writer: it calls Take, writes, and calls Release, which says what comes next.
//
// What takes time to be known, and is to be written before what comes meanwhile, has a
// place kept for it by Hold until it comes by Fill.
package outbox

import (
	"slices"
	"time"

	"tidegate/broker/lock"
)

// Outbox holds the frames that wait to be written to one session. It is bounded
// in bytes. At any time at most one goroutine is the session's writer. The zero
// value has no connection yet: frames wait until Attach. No method blocks; all may
// be called concurrently, but Take, Stall, Release and GiveUp are the writer's.
type Outbox struct {
	Owner any // fixed at birth: for who writes what waits

	mu       lock.Mutex[lock.Outbox]
	turns    uint32 // how often a writer has taken something
	ahead    uint32 // frames that wait before the place that is kept
	messages uint32 // messages among what waits
	state    writerState
	place    bool           // one is kept, see Hold
	first    []byte         // the oldest frame that waits; nil: none
	more     *backlog       // what waits behind it; nil: nothing
	latest   map[any][]byte // what waits of conflated channels behind all that
	waiting  int            // bytes that wait
	inHand   int            // bytes that the writer has taken
	sampled  *time.Time     // when a sampled message among them was received; nil: none is
	followed *followed      // messages among them that somebody follows; nil: none
	ending   *Ending        // the session ends once nothing waits; nil: it goes on
	room     chan struct{}  // closed when a writer has taken something; nil: nobody waits for that
}

// Ending is why and how a session ends.
type Ending struct {
	Why      error         // for the one that closes the connection
	Forsakes bool          // what waits is not written any more
	Patience time.Duration // for the peer to take what waits

	at time.Time // when it began
}

// writerState says who is to write what waits.
type writerState uint8

const (
	detached writerState = iota // nobody: there is no connection yet
	idle                        // nobody: nothing waits
	queued                      // who takes it from the line
	writing                     // who has taken it
	stalled                     // a goroutine of the session's own, since the peer does not keep up
	finished                    // nobody ever again
)

// Verdict says what became of a frame.
type Verdict uint8

const (
	Waits   Verdict = iota // somebody will write it
	Wakes                  // it waits, and the caller is to put the outbox in line
	Refused                // the session is ending
	Full                   // there is no room: the session is too slow
)

// Push adds a frame, if it fits into the limit with those that wait. A single
// frame always has room.
func (o *Outbox) Push(frame []byte, all *Pool) Verdict {
	o.mu.Lock()
	v := o.add(frame, all)
	o.mu.Unlock()
	return v
}

// Receipt is of a message whose way is measured. The zero value measures nothing.
type Receipt struct {
	At      time.Time // when it was received, of one whose time to its delivery is measured; zero: it is not
	Written func()    // called once a writer has written the message, unless it is thrown away; nil: nobody follows it
}

// followed are messages that somebody follows, the newest first.
type followed struct {
	written func()
	before  *followed
}

// PushMessage adds a frame that is a message.
func (o *Outbox) PushMessage(frame []byte, all *Pool, receipt Receipt) Verdict {
	o.mu.Lock()
	v := o.add(frame, all)
	if v <= Wakes {
		o.messages++
		if !receipt.At.IsZero() && o.sampled == nil {
			at := receipt.At
			o.sampled = &at
		}
		if receipt.Written != nil {
			o.followed = &followed{receipt.Written, o.followed}
		}
	}
	o.mu.Unlock()
	return v
}

// PushLatest adds a message's frame; while the peer does not keep up, it replaces
// the one of the same channel that waits, instead. A channel is any comparable value.
func (o *Outbox) PushLatest(channel any, frame []byte, all *Pool) Verdict {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, lags := o.latest[channel]
	if !lags && o.state != stalled {
		v := o.add(frame, all)
		if v <= Wakes {
			o.messages++
		}
		if v != Full {
			return v
		}
	}
	if o.ending != nil {
		return Refused
	}
	if o.latest == nil {
		o.latest = make(map[any][]byte)
	}
	o.waiting += len(frame) - len(o.latest[channel])
	o.latest[channel] = frame
	return Waits
}

// QueueLatest puts what waits of a channel that is conflated no more behind all that
// waits, as a message like any other.
func (o *Outbox) QueueLatest(channel any, all *Pool) Verdict {
	o.mu.Lock()
	defer o.mu.Unlock()
	frame := o.dropLatest(channel)
	if frame == nil {
		return Waits
	}
	v := o.add(frame, all)
	if v <= Wakes {
		o.messages++
	}
	return v
}

// DropLatest takes away what waits of a conflated channel.
func (o *Outbox) DropLatest(channel any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dropLatest(channel)
}

func (o *Outbox) dropLatest(channel any) []byte {
	frame := o.latest[channel]
	delete(o.latest, channel)
	o.waiting -= len(frame)
	return frame
}

func (o *Outbox) add(frame []byte, all *Pool) Verdict {
	if o.ending != nil {
		return Refused
	}
	held := o.waiting + o.inHand
	if all.Limit > 0 && held > 0 && held+len(frame) > all.Limit {
		return Full
	}
	if o.first == nil {
		o.first = frame
	} else {
		if o.more == nil {
			o.more = all.backlog()
		}
		o.more.frames = append(o.more.frames, frame)
	}
	o.waiting += len(frame)
	if o.state == idle && !o.place {
		o.state = queued
		return Wakes
	}
	return Waits
}

// Hold keeps a place behind all that waits. Nothing that is added from now on is
// written until Fill, or the end of the session.
func (o *Outbox) Hold() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.place, o.ahead = o.ending == nil, 0
	if o.first != nil {
		o.ahead = 1
	}
	if o.more != nil {
		o.ahead += uint32(len(o.more.frames) - o.more.head)
	}
}

// Fill puts frames into the place that Hold has kept, however many bytes wait; wakes
// is true if the caller is to put the outbox in line.
func (o *Outbox) Fill(frames [][]byte, all *Pool) (wakes bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.place {
		return false
	}
	o.place = false
	o.insert(int(o.ahead), frames, all)
	wakes = o.state == idle && (o.first != nil || len(o.latest) > 0)
	if wakes {
		o.state = queued
	}
	return wakes
}

func (o *Outbox) insert(at int, frames [][]byte, all *Pool) {
	var queue [][]byte
	if o.first != nil {
		queue = append(queue, o.first)
	}
	if o.more != nil {
		queue = append(queue, o.more.frames[o.more.head:]...)
	}
	queue = slices.Insert(queue, at, frames...)
	for _, frame := range frames {
		o.waiting += len(frame)
	}
	if o.more = nil; len(queue) > 0 {
		o.first = queue[0]
	}
	if len(queue) > 1 {
		o.more = all.backlog()
		o.more.frames = append(o.more.frames, queue[1:]...)
	}
}

// blocked reports whether what waits stands behind the place.
func (o *Outbox) blocked() bool { return o.place && o.ahead == 0 }

// Attach lets writing begin; wakes is true if the caller is to put the outbox in
// line. It is called once.
func (o *Outbox) Attach() (wakes bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if (o.first == nil || o.blocked()) && o.ending == nil {
		o.state = idle
		return false
	}
	o.state = queued
	return true
}

// End lets the session end once all that waits is written, or at once if that is
// forsaken. first is false if it was ending before; wakes is true if the caller is
// to put the outbox in line.
func (o *Outbox) End(e Ending, now time.Time) (first, wakes bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ending != nil {
		return false, false
	}
	e.at = now
	o.ending, o.place = &e, false
	if e.Forsakes {
		o.first, o.more, o.latest, o.waiting, o.messages = nil, nil, nil, 0, 0
	}
	o.announceRoom()
	switch o.state {
	case idle:
		o.state = queued
		return true, true
	case detached:
		o.state = finished
	}
	return true, false
}

// Abandon sees to it that nothing is written any more. It reports whether there is
// a connection, for the caller to close.
func (o *Outbox) Abandon() (attached bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	attached = o.state != detached
	o.state = finished
	return attached
}

// Room returns nil if n more bytes fit, else a channel that is closed when a
// writer has taken something, or the session ends.
func (o *Outbox) Room(n int, all *Pool) <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	held := o.waiting + o.inHand
	if all.Limit <= 0 || held == 0 || held+n <= all.Limit || o.ending != nil {
		return nil
	}
	if o.room == nil {
		o.room = make(chan struct{})
	}
	return o.room
}

func (o *Outbox) announceRoom() {
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
}

// Bytes returns how many bytes wait, or are being written.
func (o *Outbox) Bytes() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.waiting + o.inHand
}

// Whereabouts is what is known of a frame, or was of it.
type Whereabouts struct {
	Waits bool   // it has not been taken
	Turns uint32 // how often a writer has taken something
	Busy  bool   // what was taken last is not written yet
}

// Locate looks for a frame that was pushed, by its memory and not by what is in it.
func (o *Outbox) Locate(frame []byte) Whereabouts {
	o.mu.Lock()
	defer o.mu.Unlock()
	return Whereabouts{o.waits(frame), o.turns, o.inHand > 0}
}

func (o *Outbox) waits(frame []byte) bool {
	is := func(other []byte) bool { return len(other) > 0 && len(frame) > 0 && &other[0] == &frame[0] }
	if is(o.first) || o.more != nil && slices.ContainsFunc(o.more.frames[o.more.head:], is) {
		return true
	}
	for _, latest := range o.latest {
		if is(latest) {
			return true
		}
	}
	return false
}

// Overdue returns how many bytes wait for a peer that does not keep up.
func (o *Outbox) Overdue() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state != stalled || o.ending != nil && o.ending.Forsakes {
		return 0
	}
	return o.waiting + o.inHand
}

// Open reports whether the session is not ending.
func (o *Outbox) Open() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ending == nil
}

// Attached reports whether what is added is written as soon as it can be: the session
// has a connection, is not ending, and nothing waits for Fill.
func (o *Outbox) Attached() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.state != detached && o.ending == nil && !o.place
}

// Why returns why the session ends; nil: it does not.
func (o *Outbox) Why() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ending == nil {
		return nil
	}
	return o.ending.Why
}
