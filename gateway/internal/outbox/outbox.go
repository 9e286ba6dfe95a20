// Package outbox holds the frames that wait to be written to sessions, and the line in which
// outboxes wait for a goroutine to write them.
//
// Frames are added by Push, PushMessage or PushLatest. If one of these returns Wakes, the
// caller must put the outbox in line; if it returns Delays, a while later. The goroutine that takes it from the line becomes its
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
	taken    uint32 // number of frames taken from the queue
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
	followed *followed     // waiting messages with a Receipt.Became; nil if there are none
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
	delayed                     // none yet: what waits may wait for more, see Due
	queued                      // the one that takes it from the line
	writing                     // the one that has taken it
	stalled                     // a goroutine of the session: the peer does not keep up
	finished                    // none, ever again
)

// Verdict is the result of adding a frame.
type Verdict uint8

const (
	Waits   Verdict = iota // added; some goroutine will write it
	Delays                 // added; the caller must call Due after a while
	Wakes                  // added; the caller must put the outbox in line
	Refused                // dropped: the session is ending
	Full                   // dropped: there is no room, the session is too slow
)

// latest holds the newest message of each conflated channel with which the peer does not keep
// up. These are written after all other frames. They do not count towards the limit, as there is
// at most one for each channel.
type latest struct {
	frames map[any]replaceable // by channel
	bytes  int                 // size of frames
	inHand int                 // bytes of those that the writer has taken and not yet released
}

type replaceable struct {
	frame  []byte
	became func(written bool) // as in Receipt
}

// Push adds a frame if the limit allows it. The limit does not apply to one frame at a time that
// is larger than the limit, such as a list of very many members: a peer that reads it is not slow.
func (o *Outbox) Push(frame []byte, all *Pool) Verdict { return o.push(frame, all, false) }

// PushLater is like Push for a frame that may wait for others: see Delays.
func (o *Outbox) PushLater(frame []byte, all *Pool) Verdict { return o.push(frame, all, true) }

func (o *Outbox) push(frame []byte, all *Pool, later bool) Verdict {
	o.mu.Lock()
	v := o.add(frame, all, later)
	o.mu.Unlock()
	return v
}

// Receipt says how soon to write a message, and what to measure of it. With the zero value, it is
// written at once, and nothing is measured.
type Receipt struct {
	Later bool // it may wait for others: see Delays

	At time.Time // when it was received; zero if its delivery time is not measured

	// Became is called once: when the message is written or, with false, when a newer one has
	// replaced it or its channel was left. It is not called if the session ends before. May be nil.
	Became func(written bool)
}

// followed is a list of messages with a Receipt.Became, newest first.
type followed struct {
	became func(written bool)
	number uint32 // Outbox.taken, once the message is taken
	before *followed
}

// PushMessage adds a frame that contains a message.
func (o *Outbox) PushMessage(frame []byte, all *Pool, receipt Receipt) Verdict {
	o.mu.Lock()
	v := o.addMessage(frame, all, receipt)
	o.mu.Unlock()
	return v
}

// PushLatest adds the frame of a message of a conflated channel. If the peer does not keep
// up, the frame replaces the waiting one of the same channel, if any. channel may be any
// comparable value.
func (o *Outbox) PushLatest(channel any, frame []byte, all *Pool, receipt Receipt) Verdict {
	v, was := o.pushLatest(channel, frame, all, receipt)
	was.replaced()
	return v
}

func (o *Outbox) pushLatest(channel any, frame []byte, all *Pool, receipt Receipt) (v Verdict, was replaceable) {
	o.mu.Lock()
	defer o.mu.Unlock()
	lags := o.latest != nil && o.latest.frames[channel].frame != nil
	if !lags && o.state != stalled && o.fits(len(frame), all.Limit/2) { // the rest is for what cannot be replaced
		return o.addMessage(frame, all, receipt), was
	}
	if o.ending != nil {
		return Refused, was
	}
	if o.latest == nil {
		o.latest = &latest{frames: make(map[any]replaceable)}
	}
	was = o.takeLatestOf(channel)
	o.latest.frames[channel] = replaceable{frame, receipt.Became}
	o.latest.bytes += len(frame)
	if o.state == delayed && !o.place { // else it could be replaced while nobody writes
		o.state = queued
		return Wakes, was
	}
	return Waits, was
}

// QueueLatest appends the waiting message of a conflated channel, if any, to the queue, as an
// ordinary message.
func (o *Outbox) QueueLatest(channel any, all *Pool) Verdict {
	o.mu.Lock()
	defer o.mu.Unlock()
	was := o.takeLatestOf(channel)
	if was.frame == nil {
		return Waits
	}
	return o.addMessage(was.frame, all, Receipt{Became: was.became})
}

// DropLatest drops the waiting message of a conflated channel.
func (o *Outbox) DropLatest(channel any) {
	o.mu.Lock()
	was := o.takeLatestOf(channel)
	o.mu.Unlock()
	was.replaced()
}

func (o *Outbox) takeLatestOf(channel any) (was replaceable) {
	if o.latest != nil {
		was = o.latest.frames[channel]
		delete(o.latest.frames, channel)
		o.latest.bytes -= len(was.frame)
	}
	return was
}

func (r replaceable) replaced() {
	if r.became != nil {
		r.became(false)
	}
}

// fits reports whether n more bytes keep the frames without latest within the limit.
func (o *Outbox) fits(n, limit int) bool {
	held := o.waiting + o.inHand
	return limit <= 0 || held == 0 || held+n <= limit
}

// fitsBesideLarge is like fits, but leaves one frame that exceeds the limit by itself out of
// account.
func (o *Outbox) fitsBesideLarge(n, limit int) bool {
	large := o.large(limit)
	if large == 0 {
		return n > limit
	}
	return o.waiting+o.inHand-large+n <= limit
}

// large returns the size of a frame that exceeds the limit by itself, or 0 if there is none.
func (o *Outbox) large(limit int) int {
	if o.inHand > limit {
		return o.inHand // together with what the writer has taken with it
	}
	if len(o.first) > limit {
		return len(o.first)
	}
	if o.more != nil {
		for _, frame := range o.more.frames[o.more.head:] {
			if len(frame) > limit {
				return len(frame)
			}
		}
	}
	return 0
}

func (o *Outbox) addMessage(frame []byte, all *Pool, receipt Receipt) Verdict {
	v := o.add(frame, all, receipt.Later)
	if v > Wakes {
		return v
	}
	o.messages++
	if !receipt.At.IsZero() && o.sampled == nil {
		at := receipt.At
		o.sampled = &at
	}
	if receipt.Became != nil {
		o.followed = &followed{receipt.Became, o.taken + o.queue(), o.followed}
	}
	return v
}

func (o *Outbox) add(frame []byte, all *Pool, later bool) Verdict {
	if o.ending != nil {
		return Refused
	}
	if !o.fits(len(frame), all.Limit) && !o.fitsBesideLarge(len(frame), all.Limit) {
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
	switch {
	case o.place, o.state != idle && o.state != delayed:
		return Waits
	case !later || !o.fits(0, all.Limit/2): // else it could become full while nobody writes
		o.state = queued
		return Wakes
	case o.state == idle:
		o.state = delayed
		return Delays
	}
	return Waits
}

// Due reports whether the caller, whom Delays has told to ask, must put the outbox in line. If not,
// somebody else has.
func (o *Outbox) Due() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state != delayed {
		return false
	}
	o.state = queued
	return true
}

// Hold reserves a place behind all waiting frames. Frames added after it are not written
// before Fill, or before the session ends.
func (o *Outbox) Hold() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.place, o.ahead = o.ending == nil, o.queue()
}

// queue returns the number of waiting frames without latest.
func (o *Outbox) queue() (n uint32) {
	if o.first != nil {
		n = 1
	}
	if o.more != nil {
		n += uint32(len(o.more.frames) - o.more.head)
	}
	return n
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
	wakes = (o.state == idle || o.state == delayed) && (o.first != nil || o.hasLatest())
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
	for f := o.followed; f != nil && int32(f.number-o.taken) > int32(at); f = f.before {
		f.number += uint32(len(frames))
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
	case idle, delayed:
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
	return o.awaitedRoom()
}

// LargeRoom is like Room, for a frame that may exceed the limit by itself. It returns nil if none
// of that size waits or nothing is written yet.
func (o *Outbox) LargeRoom(all *Pool) <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if all.Limit <= 0 || o.state == detached || o.place || o.ending != nil || o.large(all.Limit) == 0 {
		return nil
	}
	return o.awaitedRoom()
}

func (o *Outbox) awaitedRoom() <-chan struct{} {
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

// Over reports whether nothing more of what waits is written, unless a write has begun.
func (o *Outbox) Over() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.state == finished || o.ending != nil && o.ending.Forsakes
}

// Open reports whether the session is not ending.
func (o *Outbox) Open() bool { return o.Why() == nil }

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
