package outbox

import (
	"context"
	"sync"

	"tidegate/broker/lock"
)

// Line is the outboxes that wait to be written, and the few goroutines, the
// flushers, that write for all of them. An outbox is put in line when something
// waits in it; by the time that its turn comes more may wait, and all of it is
// written at once. If there is little to write, the goroutine that has put it in
// line writes it by Help: that is cheaper than to wake a flusher. All methods may be
// called concurrently.
type Line struct {
	flush func(o *Outbox, buf [][]byte) [][]byte

	mu      lock.Mutex[lock.Line]
	waiting []*Outbox // head first
	head    int
	all     int // flushers
	awake   int // of these
	wake    *sync.Cond
	stopped bool

	spare sync.Pool // of *[][]byte: scratch memory for Help
}

const (
	flushGroup = 16  // outboxes that a flusher takes from the line at once
	helpMost   = 8   // outboxes that Help writes for at once
	parkMost   = 256 // outboxes that wait for who has parked them, before a flusher is woken

	// crowd is how many outboxes keep all flushers awake. For fewer half of them are
	// enough: others read what is to be written, and a flusher more that has little to
	// write wakes the other side for less.
	crowd = 2048
)

// NewLine returns a line in which nothing waits. flush writes what waits in an
// outbox; buf is scratch memory, and so is what it returns. It must not block or
// panic.
func NewLine(flush func(o *Outbox, buf [][]byte) [][]byte) *Line {
	l := &Line{flush: flush}
	l.wake = sync.NewCond(&l.mu)
	return l
}

// Queue puts outboxes in line, each of which has said Wakes, or the like.
func (l *Line) Queue(boxes ...*Outbox) {
	if l.add(boxes, 0) {
		l.Help() // there is nobody else
	}
}

// Park is Queue for a caller that will call Help or Rouse shortly: what it brings
// meanwhile for the same sessions is written with it. A flusher is woken earlier only
// where many wait.
func (l *Line) Park(boxes ...*Outbox) { l.add(boxes, parkMost) }

// Rouse wakes a flusher for what was parked.
func (l *Line) Rouse() { l.add(nil, 0) }

// add puts outboxes in line, and wakes a flusher if more than so many wait there. It
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

// Help writes what waits, if it is little, and else leaves it to the flushers. It
// does not block.
func (l *Line) Help() {
	var group [helpMost]*Outbox
	n := l.takeFew(group[:])
	if n == 0 {
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

// takeFew takes all outboxes from the line, if they fit into the group; if not
// it sees to it that a flusher is awake.
func (l *Line) takeFew(group []*Outbox) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waits() > len(group) {
		l.rouse()
		return 0
	}
	return l.take(group)
}

// waits returns how many outboxes do. It is called with mu held.
func (l *Line) waits() int { return len(l.waiting) - l.head }

// enough returns how many flushers are to be awake at most. It is called with mu held.
func (l *Line) enough() int {
	if l.waits() > crowd || l.stopped {
		return l.all
	}
	return (l.all + 1) / 2
}

// rouse wakes a flusher, unless enough are awake. It is called with mu held.
func (l *Line) rouse() {
	if l.awake < l.enough() {
		l.awake++
		l.wake.Signal()
	}
}

// Run flushes with n goroutines, or half as many while no crowd waits, until ctx ends.
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

// next takes outboxes from the line, waiting for the first; 0 means the end.
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

// take takes from the head of the line what fits into the group. It is called with
// mu held.
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

// compact moves the line to the front of its memory once most of that is spent.
func (l *Line) compact() {
	if l.head < 1024 || l.head < len(l.waiting)/2 {
		return
	}
	n := copy(l.waiting, l.waiting[l.head:])
	clear(l.waiting[n:])
	l.waiting, l.head = l.waiting[:n], 0
}
