package pusher

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"tidegate/gateway/internal/rates"
)

// order puts what a client sends back into the order in which it was sent. The client
// does not wait for one request before it sends the next one, and they may come by
// different nodes. pusher-js numbers the requests of a page, all of them (n= in the
// query), so that a number which is missing is a request that is still on its way; or
// one of another client in the page, or lost: nobody waits for long, and after some that
// were waited for in vain not at all, until requests are seen to overtake each other.
// All methods may be called concurrently.
type order struct {
	// Fixed at birth.
	patience time.Duration
	room     room // that what waits takes of the node's
	payer    *rates.Bucket
	pass     func(frame []byte) // called with mu held, for one frame after the other

	// Guarded by mu.
	mu      sync.Mutex
	last    uint64      // number of the last request that is done; 0: there was none
	waiting []numbered  // in order, each later than last+1
	bytes   int         // of those
	timer   *time.Timer // runs while some wait
	vain    int         // waits without success in a row
}

// numbered is a request; without a frame it said nothing.
type numbered struct {
	number uint64
	frame  []byte
}

const (
	orderPatience = 300 * time.Millisecond
	mostVain      = 3
	mostWaiting   = 64
)

// add takes a request; 0 is one without a number. It passes its frame on, and those
// that have waited for it, or has it wait for those before.
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

// seen takes the number of a request that says nothing, such as a poll.
func (o *order) seen(number uint64) {
	o.mu.Lock()
	late := number == 0 || number <= o.last
	o.mu.Unlock()
	if !late {
		o.add(number, nil)
	}
}

// stop forgets what waits.
func (o *order) stop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.room.LetGo(o.payer, o.bytes)
	o.waiting, o.bytes = nil, 0
	if o.timer != nil {
		o.timer.Stop()
	}
}

// done is called with mu held, as are the next ones.
func (o *order) done(r numbered) {
	o.last = max(o.last, r.number)
	if r.frame != nil {
		o.pass(r.frame)
	}
}

// goOn passes on what has waited for what is done.
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
	if o.room.Hold(o.payer, len(r.frame)) != nil { // then nobody waits
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
	case len(o.waiting) > 1: // the timer runs
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

// giveUp passes on all that waits.
func (o *order) giveUp() {
	for len(o.waiting) > 0 {
		o.next()
	}
}
