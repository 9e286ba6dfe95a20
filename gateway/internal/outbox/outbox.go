// Package outbox is what waits to be written to sessions, and the line in which
// they wait for somebody to write it.
//
// A frame goes in by Push, PushMessage or PushLatest. If the answer is Wakes, the
// caller puts the session in line. Who takes the session from the line is its
// writer: it calls Take, writes, and calls Release, which says what comes next.
//
// What takes time to be known, and is to be written before what comes meanwhile, has a
// place kept for it by Hold until it comes by Fill.
package outbox

import (
	"slices"
	"sync"
	"time"

	"tidegate/broker/lock"
)

// Outbox holds the frames that wait to be written to one session. It is bounded
// in bytes. At any time at most one goroutine is the session's writer. The zero
// value has no connection yet: frames wait until Attach. No method blocks; all may
// be called concurrently, but Take, Stall, Release and GiveUp are the writer's.
type Outbox struct {
	mu       lock.Mutex[lock.Outbox]
	state    writerState
	turns    uint32         // how often a writer has taken something
	place    bool           // one is kept, see Hold
	ahead    uint32         // frames that wait before it
	first    []byte         // the oldest frame that waits; nil: none
	more     *backlog       // what waits behind it; nil: nothing
	latest   map[any][]byte // what waits of conflated channels behind all that
	waiting  int            // bytes that wait
	inHand   int            // bytes that the writer has taken
	messages int            // messages among what waits
	sampled  time.Time      // when a sampled message among them was received
	ending   *Ending        // the session ends once nothing waits; nil: it goes on
	endingAt time.Time
	room     chan struct{} // closed when a writer has taken something; nil: nobody waits for that
}

// Pool is what all outboxes of a node share. All methods of an outbox take the same
// one. It is safe for concurrent use.
type Pool struct {
	Limit int // bytes that may wait in one outbox; 0: no limit. Fixed at birth.

	backlogs sync.Pool // of *backlog: memory for what waits behind the first frame
}

// Ending is why and how a session ends.
type Ending struct {
	Why      error         // for the one that closes the connection
	Forsakes bool          // what waits is not written any more
	Patience time.Duration // for the peer to take what waits
}

// backlog is a queue of frames.
type backlog struct {
	frames [][]byte
	head   int
}

// longBacklog is the capacity from which on a backlog is not kept for others.
const longBacklog = 1024

// writerState says who is to write what waits.
type writerState uint8

const (
	detached writerState = iota // nobody: there is no connection yet
	idle                        // nobody: nothing waits
	queued                      // who takes the session from the line
	writing                     // who has taken it
	stalled                     // a goroutine of the session's own, since the peer does not keep up
	finished                    // nobody ever again
)

// Verdict says what became of a frame.
type Verdict uint8

const (
	Waits   Verdict = iota // somebody will write it
	Wakes                  // it waits, and the caller is to put the session in line
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

// PushMessage adds a frame that is a message. A receipt that is not zero has
// the time to its delivery measured.
func (o *Outbox) PushMessage(frame []byte, all *Pool, receipt time.Time) Verdict {
	o.mu.Lock()
	v := o.add(frame, all)
	if v <= Wakes {
		o.messages++
		if !receipt.IsZero() && o.sampled.IsZero() {
			o.sampled = receipt
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
// is true if the caller is to put the session in line.
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

// Batch is what a writer takes at once.
type Batch struct {
	Frames   [][]byte
	Messages int       // among the frames
	Sampled  time.Time // when a sampled message among them was received; zero: none is
}

// Take makes the caller the writer, and appends to buf what waits: as many frames
// as atMost bytes hold, but at least one. A writer that has said Stall stays stalled.
func (o *Outbox) Take(buf [][]byte, atMost int, all *Pool) Batch {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state != stalled {
		o.state = writing
	}
	o.inHand = 0
	o.turns++
	taking := Batch{Frames: buf}
	for o.first != nil && !o.blocked() && (o.inHand == 0 || o.inHand+len(o.first) <= atMost) {
		taking.Frames = append(taking.Frames, o.first)
		o.inHand += len(o.first)
		o.shift(all)
	}
	if o.first == nil && !o.place {
		taking.Frames = o.takeLatest(taking.Frames)
	}
	o.waiting -= o.inHand
	taking.Messages, taking.Sampled = o.messages, o.sampled
	o.messages, o.sampled = 0, time.Time{}
	o.announceRoom()
	return taking
}

// Stall says that the peer has not taken all that the writer has. Until Release,
// conflated channels keep only their latest message.
func (o *Outbox) Stall() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.state = stalled
}

func (o *Outbox) shift(all *Pool) {
	if o.place {
		o.ahead--
	}
	if o.more == nil {
		o.first = nil
		return
	}
	b := o.more
	o.first = b.frames[b.head]
	b.frames[b.head] = nil
	b.head++
	if b.head == len(b.frames) {
		o.more = nil
		all.spare(b)
	}
}

func (p *Pool) backlog() *backlog {
	if b, ok := p.backlogs.Get().(*backlog); ok {
		return b
	}
	return &backlog{frames: make([][]byte, 0, 8)}
}

func (p *Pool) spare(b *backlog) {
	if cap(b.frames) <= longBacklog {
		b.frames, b.head = b.frames[:0], 0
		p.backlogs.Put(b)
	}
}

func (o *Outbox) takeLatest(buf [][]byte) [][]byte {
	for ch, frame := range o.latest {
		buf = append(buf, frame)
		o.inHand += len(frame)
		o.messages++
		delete(o.latest, ch)
	}
	o.latest = nil
	return buf
}

// Turn says what the writer is to do after it has written all that it took.
type Turn uint8

const (
	Rest   Turn = iota // nothing waits; the caller is the writer no more
	Again              // more waits; the caller is to put the session in line
	Finish             // nothing waits and the session ends; the caller is to close the connection
)

// Release ends the caller's turn as the writer. With Finish it returns why the
// session ends.
func (o *Outbox) Release() (Turn, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.inHand = 0
	o.announceRoom()
	switch {
	case !o.blocked() && (o.first != nil || len(o.latest) > 0):
		o.state = queued
		return Again, nil
	case o.ending != nil:
		o.state = finished
		return Finish, o.ending.Why
	default:
		o.state = idle
		return Rest, nil
	}
}

// Attach lets writing begin; wakes is true if the caller is to put the session in
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
// to put the session in line.
func (o *Outbox) End(e Ending, now time.Time) (first, wakes bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ending != nil {
		return false, false
	}
	o.ending, o.endingAt, o.place = &e, now, false
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

// Outlook is what a writer that makes no progress has before it.
type Outlook uint8

const (
	Hope    Outlook = iota // go on trying
	TooSlow                // the peer has taken nothing for too long: end the session and close the connection
	GivenUp                // the session was ending: close the connection
)

// GiveUp tells a writer that has made no progress since the given time whether to
// stop, and, if GivenUp, why the session ends.
func (o *Outbox) GiveUp(since, now time.Time) (Outlook, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.ending != nil && (o.ending.Forsakes || now.Sub(o.endingAt) > o.ending.Patience):
		o.state = finished
		return GivenUp, o.ending.Why
	case o.ending == nil && now.Sub(since) > StallPatience:
		return TooSlow, nil
	}
	return Hope, nil
}

// Patience returns for how long a writer may wait for the peer before it looks around:
// atMost, and no longer than the peer of a session that ends may take.
func (o *Outbox) Patience(atMost time.Duration, now time.Time) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ending == nil {
		return atMost
	}
	return max(shortestWait, min(atMost, o.endingAt.Add(o.ending.Patience).Sub(now)))
}

const shortestWait = time.Millisecond

// StallPatience is how long a peer may take not a single byte.
const StallPatience = 30 * time.Second

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
