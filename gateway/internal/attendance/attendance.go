// Package attendance is who is where in the whole cluster. Sessions come to
// channels and go; presence lists, joins and leaves, how many there are, and what a
// backend is told of it are views of that one fact.
//
// The fact is the broker's (see broker.Presence): this node states whom it has, and
// keeps nothing of what other nodes have. However many sessions come and go, one
// statement at a time is on its way for all channels, and what changes meanwhile goes
// with the next one.
//
// The files, from what uses the others down to what uses none:
//
//	run.go, read.go, follow.go    the work of a node, what is asked of it, joins and leaves
//	state.go                      tells the broker what has changed
//	lines.go                      what backends are to be told, and by whom
//	attendance.go                 what all of these share
//	teller.go, posts.go           has a backend told what is in its line, what is not in one yet
//	stays.go                      whom this node has on a channel, and what the broker knows of it
//	roster.go                     who is on a channel whose audience hears of joins and leaves
package attendance

import (
	"context"
	"slices"
	"time"

	"tidegate/broker"
	"tidegate/broker/lock"
	"tidegate/gateway/internal/wall"
)

// Attendance is this node's part in the bookkeeping. All methods may be called
// concurrently.
type Attendance struct {
	// Fixed at birth.
	config  Config
	period  time.Duration // between signs of life
	wake    chan struct{}
	life    context.Context // ends with Run
	end     context.CancelFunc
	work    wall.Group    // goroutines that nobody else waits for
	reading chan struct{} // a place in it is the right to read for a roster

	// Owned by Run.
	by       broker.Attendant
	version  uint64    // of the last attendance
	attempts int       // to state that have failed in a row
	stateAt  time.Time // when the next may be made; zero: now
	keepAt   time.Time // when the next sign of life is due
	swept    time.Time // the last one
	forgot   uint64    // the largest version that the broker may have forgotten, as far as that is mended

	// Guarded by mu.
	mu      lock.Mutex[lock.Attendance]
	stays   map[string]*stays // by channel
	changed []*stays          // those that the broker does not know all of
	stating bool              // a statement is on its way
	waiting []chan struct{}   // closed when all that was changed before has been stated
	hurried bool              // something may have been missed: look now
	away    error             // why the broker cannot be used; nil: it can
	rosters map[string]*roster
	reads   map[string]*read // of members, by channel
	lines   []Line
	tellers map[string]*teller // of the lines, while Run lasts
	toPut   posts
	noRoom  int // posts that found none, and are not logged yet
}

// New returns an Attendance that states nothing until Run.
func New(c Config) *Attendance {
	a := &Attendance{
		config:  c,
		by:      broker.Attendant{Node: c.Run, Lease: time.Duration(leaseShare * float64(c.Lease)), Linger: c.Linger},
		period:  max(c.Lease/lifeSigns, time.Millisecond),
		wake:    make(chan struct{}, 1),
		reading: make(chan struct{}, concurrentReads),
		stays:   make(map[string]*stays), rosters: make(map[string]*roster), reads: make(map[string]*read),
		lines: slices.Clone(c.Lines),
	}
	a.work.Wall = c.Wall
	a.life, a.end = context.WithCancel(context.Background())
	return a
}

// Came says that a session came to a channel, as who.
func (a *Attendance) Came(channel string, who Who) { a.note(channel, nil, &who) }

// Went undoes a Came with the same User and Session. An Info takes the place of what
// was said before.
func (a *Attendance) Went(channel string, who Who) { a.note(channel, &who, nil) }

// Became says that a session which came to a channel as was is there as is now.
func (a *Attendance) Became(channel string, was, is Who) {
	was.Info = nil
	a.note(channel, &was, &is)
}

func (a *Attendance) note(channel string, was, is *Who) {
	a.mu.Lock()
	s := a.stays[channel]
	if s == nil {
		s = newStays(channel)
		a.stays[channel] = s
	}
	s.became(was, is)
	a.queue(s)
	a.mu.Unlock()
	rouse(a.wake)
}

// queue is called with mu held.
func (a *Attendance) queue(s *stays) {
	if !s.queued {
		s.queued = true
		a.changed = append(a.changed, s)
	}
}

// Link says whether the broker can be used: nil if so.
func (a *Attendance) Link(err error) {
	a.mu.Lock()
	a.away = err
	a.mu.Unlock()
	if err == nil {
		a.Missed()
	}
}

// Lost says that another node is gone, which may have left something to do.
func (a *Attendance) Lost() { a.Missed() }

// Missed says that joins and leaves may have been missed.
func (a *Attendance) Missed() {
	a.mu.Lock()
	a.hurried = true
	a.mu.Unlock()
	rouse(a.wake)
}

// read is one read of a channel's members, for all who ask for them before it
// begins.
type read struct {
	begun  bool // guarded by Attendance.mu
	done   chan struct{}
	roster broker.Roster // set before done is closed, and not changed any more
	err    error
	after  *read // the one that it waits for; nil: none
}

func rouse(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}
