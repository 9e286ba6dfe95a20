package pusher

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"tidegate/gateway/internal/rates"
)

// order restores the order in which a client has sent its requests. A client does not wait
// for the answer to one request before it sends the next one, and they may take different
// nodes. pusher-js numbers all requests of a page (n= in the query). So a missing number is a
// request that is still in flight; or it belongs to another client in the page, or is lost.
// Therefore a request waits for earlier ones only for a short time and, after several waits
// in vain, not at all until a request is seen to overtake another. An order is safe for
// concurrent use.
type order struct {
	// Immutable.
	patience time.Duration
	room     rates.Memory // the memory that waiting frames are charged to
	payer    *rates.Bucket
	pass     func(frame []byte) // called with mu held, once for each frame in order

	// Guarded by mu.
	mu      sync.Mutex
	last    uint64      // highest number of a request that was passed on; 0 if there was none
	waiting []numbered  // sorted by number, each greater than last+1
	bytes   int         // total size of the waiting frames
	timer   *time.Timer // runs while requests wait
	vain    int         // number of consecutive waits in vain
}

// numbered is a request with its number. frame is nil if the request carries no events.
type numbered struct {
	number uint64
	frame  []byte
}

const (
	orderPatience = 300 * time.Millisecond
	mostVain      = 3
	mostWaiting   = 64
)

// add adds a request; number is 0 if it has none. It passes on the frame and those that have
// waited for it, or lets the request wait for earlier ones.
func (o *order) add(number uint64, frame []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case number == 0:
		o.done(numbered{frame: frame})
	case number <= o.last: // too late: it was overtaken
		o.vain = 0
		o.done(numbered{frame: frame})
	case o.last == 0, number == o.last+1, o.vain >= mostVain:
		o.done(numbered{number, frame})
		o.goOn()
	default:
		o.hold(numbered{number, frame})
	}
}

// seen adds a request that carries no events, such as a poll.
func (o *order) seen(number uint64) {
	o.mu.Lock()
	late := number == 0 || number <= o.last
	o.mu.Unlock()
	if !late {
		o.add(number, nil)
	}
}

// stop drops the waiting requests and stops the timer.
func (o *order) stop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.room.LetGo(o.payer, o.bytes)
	o.waiting, o.bytes = nil, 0
	if o.timer != nil {
		o.timer.Stop()
	}
}

// done passes a request on. The caller must hold o.mu, as for goOn, next, hold and giveUp.
func (o *order) done(r numbered) {
	o.last = max(o.last, r.number)
	if r.frame != nil {
		o.pass(r.frame)
	}
}

// goOn passes on the waiting requests that are next in order.
func (o *order) goOn() {
	for len(o.waiting) > 0 && o.waiting[0].number <= o.last+1 {
		o.vain = 0
		o.next()
	}
}

func (o *order) next() {
	first := o.waiting[0]
	o.waiting = slices.Delete(o.waiting, 0, 1)
	o.bytes -= len(first.frame)
	o.room.LetGo(o.payer, len(first.frame))
	o.done(first)
}

func (o *order) hold(r numbered) {
	if o.room.Hold(o.payer, len(r.frame)) != nil { // no room: nothing waits any longer
		o.giveUp()
		o.done(r)
		return
	}
	at, _ := slices.BinarySearchFunc(o.waiting, r.number, func(w numbered, number uint64) int {
		return cmp.Compare(w.number, number)
	})
	o.waiting = slices.Insert(o.waiting, at, r)
	o.bytes += len(r.frame)
	switch {
	case len(o.waiting) > mostWaiting || o.bytes > boxBytes:
		o.giveUp()
	case len(o.waiting) > 1: // the timer is already running
	case o.timer == nil:
		o.timer = time.AfterFunc(o.patience, o.expire)
	default:
		o.timer.Reset(o.patience)
	}
}

func (o *order) expire() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.waiting) > 0 {
		o.vain++
		o.giveUp()
	}
}

// giveUp passes on all waiting requests.
func (o *order) giveUp() {
	for len(o.waiting) > 0 {
		o.next()
	}
}
