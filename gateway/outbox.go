package gateway

import (
	"sync"
	"time"
)

// outbox holds the frames that wait to be written to one session. It is bounded
// in bytes, and no method blocks. At any time at most one goroutine is the
// session's writer: the one that moved state to writing.
type outbox struct {
	mu       sync.Mutex
	state    writerState
	first    []byte              // the oldest frame that waits; nil: none
	more     *backlog            // what waits behind it; nil: nothing
	latest   map[*channel][]byte // what waits of conflated channels behind all that
	waiting  int                 // bytes that wait
	inHand   int                 // bytes that the writer has taken
	messages int                 // messages among what waits
	sampled  time.Time           // when a sampled message among them was received
	ending   *Reason             // the session ends once nothing waits; nil: it goes on
	endingAt time.Time
	room     chan struct{} // closed when a writer has taken something; nil: nobody waits for that
}

// outboxes is what all outboxes share. It is safe for concurrent use.
type outboxes struct {
	limit    int       // bytes that may wait in one; 0: no limit
	backlogs sync.Pool // of *backlog: memory for what waits behind the first frame
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
	queued                      // the next free flusher
	writing                     // a flusher
	stalled                     // a goroutine of the session's own, since the peer does not keep up
	finished                    // nobody ever again
)

// verdict says what became of a frame.
type verdict uint8

const (
	taken    verdict = iota // it waits, and somebody will write it
	roused                  // it waits, and the caller is to queue the session
	refused                 // the session is ending
	overflow                // there is no room: the session is too slow
)

// push adds a frame, if it fits into the limit with those that wait. A single
// frame always has room.
func (o *outbox) push(frame []byte, all *outboxes) verdict {
	o.mu.Lock()
	v := o.add(frame, all)
	o.mu.Unlock()
	return v
}

// pushMessage adds a frame that is a message. A receipt that is not zero has
// the time to its delivery measured.
func (o *outbox) pushMessage(frame []byte, all *outboxes, receipt time.Time) verdict {
	o.mu.Lock()
	v := o.add(frame, all)
	if v <= roused {
		o.messages++
		if !receipt.IsZero() && o.sampled.IsZero() {
			o.sampled = receipt
		}
	}
	o.mu.Unlock()
	return v
}

// pushLatest adds a message's frame; while the peer does not keep up, it replaces
// the one of the same channel that waits, instead.
func (o *outbox) pushLatest(ch *channel, frame []byte, all *outboxes) verdict {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, lags := o.latest[ch]
	if !lags && o.state != stalled {
		v := o.add(frame, all)
		if v <= roused {
			o.messages++
		}
		if v != overflow {
			return v
		}
	}
	if o.ending != nil {
		return refused
	}
	if o.latest == nil {
		o.latest = make(map[*channel][]byte)
	}
	o.waiting += len(frame) - len(o.latest[ch])
	o.latest[ch] = frame
	return taken
}

func (o *outbox) add(frame []byte, all *outboxes) verdict {
	if o.ending != nil {
		return refused
	}
	held := o.waiting + o.inHand
	if all.limit > 0 && held > 0 && held+len(frame) > all.limit {
		return overflow
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
	if o.state == idle {
		o.state = queued
		return roused
	}
	return taken
}

// batch is what a writer takes at once.
type batch struct {
	frames   [][]byte
	messages int
	sampled  time.Time
}

// take makes the caller the writer, in the given state, and appends to buf what
// waits: as many frames as atMost bytes hold, but at least one.
func (o *outbox) take(buf [][]byte, state writerState, atMost int, all *outboxes) batch {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.state = state
	o.inHand = 0
	taking := batch{frames: buf}
	for o.first != nil && (o.inHand == 0 || o.inHand+len(o.first) <= atMost) {
		taking.frames = append(taking.frames, o.first)
		o.inHand += len(o.first)
		o.shift(all)
	}
	if o.first == nil {
		taking.frames = o.takeLatest(taking.frames)
	}
	o.waiting -= o.inHand
	taking.messages, taking.sampled = o.messages, o.sampled
	o.messages, o.sampled = 0, time.Time{}
	o.announceRoom()
	return taking
}

func (o *outbox) shift(all *outboxes) {
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

func (all *outboxes) backlog() *backlog {
	if b, ok := all.backlogs.Get().(*backlog); ok {
		return b
	}
	return &backlog{frames: make([][]byte, 0, 8)}
}

func (all *outboxes) spare(b *backlog) {
	if cap(b.frames) <= longBacklog {
		b.frames, b.head = b.frames[:0], 0
		all.backlogs.Put(b)
	}
}

func (o *outbox) takeLatest(buf [][]byte) [][]byte {
	for ch, frame := range o.latest {
		buf = append(buf, frame)
		o.inHand += len(frame)
		o.messages++
		delete(o.latest, ch)
	}
	o.latest = nil
	return buf
}

// next says what the writer is to do after it has written all that it took.
type next uint8

const (
	rest   next = iota // nothing waits; the caller is the writer no more
	again              // more waits; the caller is to queue the session
	finish             // nothing waits and the session ends; the caller is to close the connection
)

// release ends the caller's turn as the writer.
func (o *outbox) release() (next, Reason) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.inHand = 0
	o.announceRoom()
	switch {
	case o.first != nil || len(o.latest) > 0:
		o.state = queued
		return again, Reason{}
	case o.ending != nil:
		o.state = finished
		return finish, *o.ending
	default:
		o.state = idle
		return rest, Reason{}
	}
}

// attach lets writing begin; the answer is true if the caller is to queue the
// session.
func (o *outbox) attach() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.first == nil && o.ending == nil {
		o.state = idle
		return false
	}
	o.state = queued
	return true
}

// end lets the session end once all that waits is written, or at once if the
// reason leaves no sense in writing it. first is false if it was ending before;
// rouse is true if the caller is to queue the session.
func (o *outbox) end(reason Reason, now time.Time) (first, rouse bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ending != nil {
		return false, false
	}
	o.ending, o.endingAt = &reason, now
	if reason.forsakes() {
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

// abandon sees to it that nothing is written any more. It reports whether there is
// a connection, for the caller to close.
func (o *outbox) abandon() (attached bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	attached = o.state != detached
	o.state = finished
	return attached
}

// giveUp reports whether a writer that has made no progress since the given
// time is to stop, and why.
func (o *outbox) giveUp(since, now time.Time) (Reason, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.ending != nil && (o.ending.forsakes() || now.Sub(o.endingAt) > o.ending.patience()):
		o.state = finished
		return *o.ending, true
	case o.ending == nil && now.Sub(since) > stallPatience:
		return SlowConsumer, true
	}
	return Reason{}, false
}

const (
	endPatience   = 2 * time.Second  // to write what waits when the session ends
	drainPatience = time.Second / 2  // the same, of one that was told to leave before
	stallPatience = 30 * time.Second // for a peer that takes not a single byte
)

// hasRoom returns nil if n more bytes fit, else a channel that is closed when a
// writer has taken something, or the session ends.
func (o *outbox) hasRoom(n int, all *outboxes) <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	held := o.waiting + o.inHand
	if all.limit <= 0 || held == 0 || held+n <= all.limit || o.ending != nil {
		return nil
	}
	if o.room == nil {
		o.room = make(chan struct{})
	}
	return o.room
}

func (o *outbox) announceRoom() {
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
}

// bytes returns how many bytes wait, or are being written.
func (o *outbox) bytes() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.waiting + o.inHand
}
