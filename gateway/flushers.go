package gateway

import (
	"context"
	"sync"
)

// flushers are a few goroutines that write for all sessions. A session is queued
// when its outbox ceases to be empty; by the time that its turn comes more may
// wait, and all of it is written at once.
type flushers struct {
	mu      sync.Mutex
	waiting []*Session // head first
	head    int
	idle    int // flushers that sleep
	wake    *sync.Cond
	stopped bool
}

// flushGroup is how many sessions a flusher takes from the line at once.
const flushGroup = 16

func newFlushers() *flushers {
	f := &flushers{}
	f.wake = sync.NewCond(&f.mu)
	return f
}

// queue puts sessions in line. Each must be in the state queued, and only once.
func (f *flushers) queue(sessions ...*Session) {
	if len(sessions) == 0 {
		return
	}
	f.mu.Lock()
	f.waiting = append(f.waiting, sessions...)
	idle := f.idle
	f.mu.Unlock()
	if idle > 0 {
		f.wake.Signal()
	}
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
	n := copy(group, f.waiting[f.head:])
	clear(f.waiting[f.head : f.head+n])
	f.head += n
	if f.head == len(f.waiting) {
		f.waiting, f.head = f.waiting[:0], 0
	} else {
		f.compact()
		f.wake.Signal()
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
