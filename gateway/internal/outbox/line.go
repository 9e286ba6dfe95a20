package outbox

import (
	"context"
	"sync"

	"tidegate/broker/lock"
)

// Line is the queue of outboxes that wait to be written, with the few goroutines (flushers)
// that write for all of them. More frames may be added to an outbox while it is in line; all
// of them are then written at once. If there is little to write, the goroutine that put an
// outbox in line writes it by calling Help, which is cheaper than waking a flusher. A Line
// is safe for concurrent use.
type Line struct {
	flush func(o *Outbox, buf [][]byte) [][]byte

	mu      lock.Mutex[lock.Line]
	waiting []*Outbox // the line, from head on
	head    int
	all     int // number of flushers
	awake   int // number of flushers awake
	wake    *sync.Cond
	stopped bool

	spare sync.Pool // of *[][]byte: scratch memory for Help
}

const (
	flushGroup = 16  // outboxes that a flusher takes at once
	helpMost   = 8   // most outboxes that Help writes
	parkMost   = 256 // outboxes that may be parked before a flusher is woken

	// crowd is the number of waiting outboxes above which all flushers work. Below it, half
	// of them are enough: other goroutines need the processors to read what is to be
	// written, and one more flusher with little to write wakes the receivers for less data.
	crowd = 2048
)

// NewLine returns an empty Line. flush writes the frames of one outbox. It must not block or
// panic. buf is scratch memory; flush returns it, possibly grown, for the next call.
func NewLine(flush func(o *Outbox, buf [][]byte) [][]byte) *Line {
	l := &Line{flush: flush}
	l.wake = sync.NewCond(&l.mu)
	return l
}

// Queue puts outboxes in line. Each of them must have just returned Wakes (or Again, or
// wakes), so that it is in line at most once. After the flushers have stopped, Queue calls
// Help itself.
func (l *Line) Queue(boxes ...*Outbox) {
	if l.add(boxes, 0) {
		l.Help() // no flusher will
	}
}

// Park is like Queue, for a caller that will soon call Help or Rouse: frames added until
// then are written by the same system call. Park wakes a flusher only if more than parkMost
// outboxes wait.
func (l *Line) Park(boxes ...*Outbox) { l.add(boxes, parkMost) }

// Rouse wakes a flusher for outboxes that were parked.
func (l *Line) Rouse() { l.Queue() }

// add puts outboxes in line, and wakes a flusher if more than few outboxes wait then. It
// reports whether the flushers have stopped.
func (l *Line) add(boxes []*Outbox, few int) (stopped bool) {
	l.mu.Lock()
	l.waiting = append(l.waiting, boxes...)
	if l.waits() > few {
		l.rouse()
	}
	stopped = l.stopped
	l.mu.Unlock()
	return stopped
}

// Help writes all waiting outboxes if there are at most helpMost, and leaves them to the
// flushers otherwise, unless these have stopped. It does not block.
func (l *Line) Help() {
	var group [helpMost]*Outbox
	for more := true; more; {
		var n int
		if n, more = l.takeFew(group[:]); n == 0 {
			return
		}
		buf, ok := l.spare.Get().(*[][]byte)
		if !ok {
			buf = new([][]byte)
		}
		for _, o := range group[:n] {
			*buf = l.flush(o, *buf)
		}
		l.spare.Put(buf)
	}
}

// takeFew takes all outboxes from the line if they fit into group. Otherwise it takes none,
// and makes sure that a flusher is awake; or, if the flushers have stopped, it takes as many
// as fit, and more is true.
func (l *Line) takeFew(group []*Outbox) (n int, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waits() > len(group) && !l.stopped {
		l.rouse()
		return 0, false
	}
	n = l.take(group)
	return n, l.waits() > 0
}

// waits returns the number of outboxes in line. The caller must hold mu.
func (l *Line) waits() int { return len(l.waiting) - l.head }

// enough returns how many flushers may be awake. The caller must hold mu.
func (l *Line) enough() int {
	if l.waits() > crowd || l.stopped {
		return l.all
	}
	return (l.all + 1) / 2
}

// rouse wakes a flusher, unless enough are awake. The caller must hold mu.
func (l *Line) rouse() {
	if l.awake < l.enough() {
		l.awake++
		l.wake.Signal()
	}
}

// Run runs n flushers until ctx is canceled. Unless a crowd waits, only half of them work.
func (l *Line) Run(ctx context.Context, n int) {
	l.mu.Lock()
	l.all, l.awake = n, n
	l.mu.Unlock()
	stop := context.AfterFunc(ctx, l.stop)
	defer stop()
	var working sync.WaitGroup
	for range n {
		working.Go(l.work)
	}
	working.Wait()
}

func (l *Line) stop() {
	l.mu.Lock()
	l.stopped = true
	l.mu.Unlock()
	l.wake.Broadcast()
}

func (l *Line) work() {
	var group [flushGroup]*Outbox
	var buf [][]byte
	for {
		n := l.next(group[:])
		if n == 0 {
			return
		}
		for _, o := range group[:n] {
			buf = l.flush(o, buf)
		}
		clear(group[:n])
	}
}

// next takes outboxes from the line into group, and returns how many. It waits for the first
// one; 0 means that the line has stopped.
func (l *Line) next(group []*Outbox) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.waits() == 0 || l.awake > l.enough() {
		if l.stopped {
			return 0
		}
		l.awake--
		l.wake.Wait()
	}
	n := l.take(group)
	if l.waits() > 0 {
		l.rouse()
	}
	return n
}

// take moves outboxes from the head of the line into group, and returns how many. The caller
// must hold mu.
func (l *Line) take(group []*Outbox) int {
	n := copy(group, l.waiting[l.head:])
	clear(l.waiting[l.head : l.head+n])
	l.head += n
	if l.head == len(l.waiting) {
		l.waiting, l.head = l.waiting[:0], 0
	} else {
		l.compact()
	}
	return n
}

// compact moves the line to the front of its memory once most of that is unused.
func (l *Line) compact() {
	if l.head < 1024 || l.head < len(l.waiting)/2 {
		return
	}
	n := copy(l.waiting, l.waiting[l.head:])
	clear(l.waiting[n:])
	l.waiting, l.head = l.waiting[:n], 0
}
