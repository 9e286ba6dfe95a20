// Package outbox holds the frames that wait to be written to sessions, and the line in which
// outboxes wait for a goroutine to write them.
//
// Frames are added by Push, PushMessage or PushLatest. If one of these returns Wakes, the
// caller must put the outbox in line. The goroutine that takes it from the line becomes its
// writer: it calls Take, writes the frames, and calls Release, which says what to do next.
//
// Hold reserves a place in the queue for a frame that is not known yet, but must be written
// before frames that are added meanwhile. Fill puts it there.
package outbox

import (
	"slices"
	"time"

	"tidegate/broker/lock"
)

// Outbox holds the frames that wait to be written to one session. Their size in bytes is
// bounded (Pool.Limit). At most one goroutine at a time is the session's writer. The zero value has no
// connection yet: frames wait until Attach. No method blocks. An Outbox is safe for
// concurrent use, but only the writer may call Take, Stall, Release and GiveUp.
type Outbox struct {
	Owner any // fixed at birth; for the use of the function that writes

	mu       lock.Mutex[lock.Outbox]
	turns    uint32 // number of calls of Take
	ahead    uint32 // frames in front of the place that Hold reserved
	messages uint32 // number of messages among the waiting frames
	state    writerState
	place    bool          // a place is reserved, see Hold
	first    []byte        // the oldest waiting frame; nil if there is none
	more     *backlog      // the frames behind first; nil if there are none
	latest   *latest       // conflated messages; nil if there are none
	waiting  int           // size of the waiting frames without latest, in bytes
	inHand   int           // bytes of those that the writer has taken and not yet released
	sampled  *time.Time    // when a waiting sampled message was received; nil if there is none
	followed *followed     // waiting messages with a Receipt.Written; nil if there are none
	ending   *Ending       // set if the session ends once nothing waits
	room     chan struct{} // closed when there may be room; nil if nobody waits for that
}

// Ending says why and how a session ends.
type Ending struct {
	Why      error         // for the goroutine that closes the connection
	Forsakes bool          // drop the waiting frames
	Patience time.Duration // how long the peer may take to read the waiting frames

	at time.Time // when it began
}

// writerState says which goroutine, if any, is to write the waiting frames.
type writerState uint8

const (
	detached writerState = iota // none: there is no connection yet
	idle                        // none: nothing waits
	queued                      // the one that takes it from the line
	writing                     // the one that has taken it
	stalled                     // a goroutine of the session: the peer does not keep up
	finished                    // none, ever again
)

// Verdict is the result of adding a frame.
type Verdict uint8

const (
	Waits   Verdict = iota // added; some goroutine will write it
	Wakes                  // added; the caller must put the outbox in line
	Refused                // dropped: the session is ending
	Full                   // dropped: there is no room, the session is too slow
)

// latest holds the newest message of each conflated channel with which the peer does not keep
// up. These are written after all other frames. They do not count towards the limit, as there is
// at most one for each channel.
type latest struct {
	frames map[any][]byte // by channel
	bytes  int            // size of frames
	inHand int            // bytes of those that the writer has taken and not yet released
}

// Push adds a frame if the limit allows it. An empty outbox takes a frame of any size.
func (o *Outbox) Push(frame []byte, all *Pool) Verdict {
	o.mu.Lock()
	v := o.add(frame, all)
	o.mu.Unlock()
	return v
}

// Receipt says what to measure of a message. The zero value measures nothing.
type Receipt struct {
	At      time.Time // when it was received; zero if its delivery time is not measured
	Written func()    // called once it is written, but not if it is dropped; may be nil
}

// followed is a list of functions to call when messages are written, newest first.
type followed struct {
	written func()
	before  *followed
}

// PushMessage adds a frame that contains a message.
func (o *Outbox) PushMessage(frame []byte, all *Pool, receipt Receipt) Verdict {
	o.mu.Lock()
	v := o.addMessage(frame, all)
	if v <= Wakes {
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

// PushLatest adds the frame of a message of a conflated channel. If the peer does not keep
// up, the frame replaces the waiting one of the same channel, if any. channel may be any
// comparable value.
func (o *Outbox) PushLatest(channel any, frame []byte, all *Pool) Verdict {
	o.mu.Lock()
	defer o.mu.Unlock()
	lags := o.latest != nil && o.latest.frames[channel] != nil
	if !lags && o.state != stalled && o.fits(len(frame), all.Limit/2) { // the rest is for what cannot be replaced
		return o.addMessage(frame, all)
	}
	if o.ending != nil {
		return Refused
	}
	if o.latest == nil {
		o.latest = &latest{frames: make(map[any][]byte)}
	}
	o.dropLatest(channel)
	o.latest.frames[channel] = frame
	o.latest.bytes += len(frame)
	return Waits
}

// QueueLatest appends the waiting message of a channel that no longer conflates to the
// queue, as an ordinary message.
func (o *Outbox) QueueLatest(channel any, all *Pool) Verdict {
	o.mu.Lock()
	defer o.mu.Unlock()
	frame := o.dropLatest(channel)
	if frame == nil {
		return Waits
	}
	return o.addMessage(frame, all)
}

// DropLatest drops the waiting message of a conflated channel.
func (o *Outbox) DropLatest(channel any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dropLatest(channel)
}

func (o *Outbox) dropLatest(channel any) []byte {
	if o.latest == nil {
		return nil
	}
	frame := o.latest.frames[channel]
	delete(o.latest.frames, channel)
	o.latest.bytes -= len(frame)
	return frame
}

// fits reports whether n more bytes keep the frames without latest within the limit.
func (o *Outbox) fits(n, limit int) bool {
	held := o.waiting + o.inHand
	return limit <= 0 || held == 0 || held+n <= limit
}

func (o *Outbox) addMessage(frame []byte, all *Pool) Verdict {
	v := o.add(frame, all)
	if v <= Wakes {
		o.messages++
	}
	return v
}

func (o *Outbox) add(frame []byte, all *Pool) Verdict {
	if o.ending != nil {
		return Refused
	}
	if !o.fits(len(frame), all.Limit) {
		return Full
	}
	if o.first == nil {
		o.first = frame
	} else {
		if o.more == nil {
			o.more = all.backlog()
		}
		o.more.push(frame)
	}
	o.waiting += len(frame)
	if o.state == idle && !o.place {
		o.state = queued
		return Wakes
	}
	return Waits
}

// Hold reserves a place behind all waiting frames. Frames added after it are not written
// before Fill, or before the session ends.
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

// Fill puts frames into the place that Hold has reserved, regardless of the limit. wakes is
// true if the caller must put the outbox in line.
func (o *Outbox) Fill(frames [][]byte, all *Pool) (wakes bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.place {
		return false
	}
	o.place = false
	o.insert(int(o.ahead), frames, all)
	wakes = o.state == idle && (o.first != nil || o.hasLatest())
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

// blocked reports whether all waiting frames are behind the reserved place.
func (o *Outbox) blocked() bool { return o.place && o.ahead == 0 }

// Attach allows writing to begin. wakes is true if the caller must put the outbox in line.
// Attach must be called only once.
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

// End makes the session end once all waiting frames are written, or at once if e.Forsakes is
// set. first is false if the session was ending already. wakes is true if the caller must
// put the outbox in line.
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
		o.sampled, o.followed = nil, nil
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

// Abandon stops all writing. It reports whether there is a connection, which the caller must
// close.
func (o *Outbox) Abandon() (attached bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	attached = o.state != detached
	o.state = finished
	return attached
}

// Room returns nil if n more bytes fit, or else a channel that is closed when a writer has
// made progress or the session ends.
func (o *Outbox) Room(n int, all *Pool) <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fits(n, all.Limit) || o.ending != nil {
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

// Bytes returns how many bytes wait or are being written.
func (o *Outbox) Bytes() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.held()
}

// held returns the size of all waiting frames and of those in hand.
func (o *Outbox) held() int {
	held := o.waiting + o.inHand
	if o.latest != nil {
		held += o.latest.bytes + o.latest.inHand
	}
	return held
}

func (o *Outbox) hasLatest() bool { return o.latest != nil && len(o.latest.frames) > 0 }

// Whereabouts says where a frame is, or was.
type Whereabouts struct {
	Waits bool   // no writer has taken it yet
	Turns uint32 // number of calls of Take
	Busy  bool   // the frames taken last are still being written
}

// Locate looks for a frame that was pushed. It compares addresses, not contents.
func (o *Outbox) Locate(frame []byte) Whereabouts {
	o.mu.Lock()
	defer o.mu.Unlock()
	return Whereabouts{o.waits(frame), o.turns, o.inHand > 0 || o.latest != nil && o.latest.inHand > 0}
}

func (o *Outbox) waits(frame []byte) bool {
	is := func(other []byte) bool { return len(other) > 0 && len(frame) > 0 && &other[0] == &frame[0] }
	if is(o.first) || o.more != nil && slices.ContainsFunc(o.more.frames[o.more.head:], is) {
		return true
	}
	if o.latest != nil {
		for _, latest := range o.latest.frames {
			if is(latest) {
				return true
			}
		}
	}
	return false
}

// Overdue returns how many bytes wait for a peer that does not keep up. It returns 0 if the
// peer keeps up or the bytes will be dropped.
func (o *Outbox) Overdue() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state != stalled || o.ending != nil && o.ending.Forsakes {
		return 0
	}
	return o.held()
}

// Open reports whether the session is not ending.
func (o *Outbox) Open() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ending == nil
}

// Attached reports whether added frames are written as soon as possible: the session has a
// connection, is not ending, and no place is reserved.
func (o *Outbox) Attached() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.state != detached && o.ending == nil && !o.place
}

// Why returns why the session ends, or nil if it is not ending.
func (o *Outbox) Why() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ending == nil {
		return nil
	}
	return o.ending.Why
}
