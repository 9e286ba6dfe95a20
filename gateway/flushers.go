package gateway

import (
	"context"
	"sync"
)

// flushers are a few goroutines that write for all sessions. A session is put in
// line when its outbox ceases to be empty; by the time that its turn comes more may
// wait, and all of it is written at once. Where there is little to write, whoever
// has put it in line helps, rather than to wake a flusher for it.
type flushers struct {
	mu      sync.Mutex
	waiting []*Session // head first
	head    int
	idle    int // flushers that sleep
	wake    *sync.Cond
	stopped bool

	spare sync.Pool // of *[][]byte: scratch memory for who helps
}

const (
	flushGroup = 16 // sessions that a flusher takes from the line at once
	helpMost   = 8  // sessions that a helper writes for at once
)

func newFlushers() *flushers {
	f := &flushers{}
	f.wake = sync.NewCond(&f.mu)
	return f
}

// queue puts sessions in line. Each must be in the state queued, and only once.
func (f *flushers) queue(sessions ...*Session) {
	if f.add(sessions, 0) {
		f.help() // there is nobody else
	}
}

// park is queue for a caller that will call help or rouse shortly. Flushers are
// woken when there are too many for a helper.
func (f *flushers) park(sessions ...*Session) { f.add(sessions, helpMost) }

// rouse wakes a flusher for what was parked.
func (f *flushers) rouse() { f.add(nil, 0) }

// add puts sessions in line, and wakes a flusher if more than so many wait there. It
// reports whether the flushers have stopped.
func (f *flushers) add(sessions []*Session, few int) (stopped bool) {
	f.mu.Lock()
	f.waiting = append(f.waiting, sessions...)
	wanted := f.idle > 0 && len(f.waiting)-f.head > few
	stopped = f.stopped
	f.mu.Unlock()
	if wanted {
		f.wake.Signal()
	}
	return stopped
}

// help writes what waits, if it is little, and else leaves it to the flushers. It
// does not block.
func (f *flushers) help() {
	var group [helpMost]*Session
	n := f.takeFew(group[:])
	if n == 0 {
		return
	}
	buf, ok := f.spare.Get().(*[][]byte)
	if !ok {
		buf = new([][]byte)
	}
	for _, s := range group[:n] {
		*buf = s.flush(*buf)
	}
	f.spare.Put(buf)
}

// takeFew takes all sessions from the line, if they fit into the group; if not
// it sees to it that a flusher is awake.
func (f *flushers) takeFew(group []*Session) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.waiting)-f.head > len(group) {
		f.wake.Signal()
		return 0
	}
	return f.take(group)
}

// run flushes with n goroutines until ctx ends.
func (f *flushers) run(ctx context.Context, n int) {
	stop := context.AfterFunc(ctx, f.stop)
	defer stop()
	var working sync.WaitGroup
	for range n {
		working.Go(f.work)
	}
	working.Wait()
}

func (f *flushers) stop() {
	f.mu.Lock()
	f.stopped = true
	f.mu.Unlock()
	f.wake.Broadcast()
}

func (f *flushers) work() {
	var group [flushGroup]*Session
	var buf [][]byte
	for {
		n := f.next(group[:])
		if n == 0 {
			return
		}
		for i, s := range group[:n] {
			buf = s.flush(buf)
			group[i] = nil
		}
	}
}

// next takes sessions from the line, waiting for the first; 0 means the end.
func (f *flushers) next(group []*Session) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.head == len(f.waiting) {
		if f.stopped {
			return 0
		}
		f.idle++
		f.wake.Wait()
		f.idle--
	}
	n := f.take(group)
	if f.head < len(f.waiting) {
		f.wake.Signal()
	}
	return n
}

// take takes from the head of the line what fits into the group. It is called with
// mu held.
func (f *flushers) take(group []*Session) int {
	n := copy(group, f.waiting[f.head:])
	clear(f.waiting[f.head : f.head+n])
	f.head += n
	if f.head == len(f.waiting) {
		f.waiting, f.head = f.waiting[:0], 0
	} else {
		f.compact()
	}
	return n
}

// compact moves the line to the front of its memory once most of that is spent.
func (f *flushers) compact() {
	if f.head < 1024 || f.head < len(f.waiting)/2 {
		return
	}
	n := copy(f.waiting, f.waiting[f.head:])
	clear(f.waiting[n:])
	f.waiting, f.head = f.waiting[:n], 0
}
