// Package attendance keeps track of who is on which channel in the whole cluster. Presence
// lists, join and leave events and the notices to backends are all derived
// from this one record.
//
// The record is kept by the broker (see broker.Presence). This node states which sessions
// it has, and stores nothing about the sessions of other nodes. At most one statement is in
// flight for all channels; changes that occur meanwhile go into the next one.
//
// The files, from the top of the call graph to the bottom:
//
//	run.go, follow.go             the main loop; join and leave events
//	state.go                      states changes to the broker; who is there
//	lines.go                      the notices to backends, and who delivers them
//	attendance.go                 what all of these share
//	teller.go, posts.go           deliver a line's notices; those not in a line yet
//	stays.go                      this node's members of a channel, and what the broker knows
//	roster.go                     the members of a channel whose audience gets joins and leaves
package attendance

import (
	"context"
	"slices"
	"time"

	"tidegate/broker"
	"tidegate/broker/lock"
	"tidegate/gateway/internal/wall"
)

// Attendance is this node's part of the record. All methods are safe for concurrent use.
type Attendance struct {
	// Fixed at birth.
	config  Config
	period  time.Duration // between two signs of life
	wake    chan struct{}
	life    context.Context // canceled when Run ends
	end     context.CancelFunc
	work    wall.Group    // background goroutines
	reading chan struct{} // a semaphore for the reads of rosters

	// Owned by Run.
	by       broker.Attendant
	version  uint64    // of the latest statement
	stateAt  time.Time // when to make the next statement; zero means now
	againAt  time.Time // when to try again what has failed; zero means that nothing has
	attempts int       // consecutive attempts at that
	keepAt   time.Time // when to give the next sign of life
	swept    time.Time // when the last sign of life was given
	forgot   uint64    // the largest version that the broker may have forgotten and that leaveOthers has dealt with

	// Guarded by mu.
	mu      lock.Mutex[lock.Attendance]
	stays   map[string]*stays // by channel
	changed []*stays          // those with changes that the broker does not know
	aside   []*stays          // like changed, but the broker could not be told; for againAt
	hurried bool              // something may have been missed: look now
	away    error             // why the broker cannot be used; nil if it can
	rosters map[string]*roster
	lines   []Line
	tellers map[string]*teller // by line; set while Run is running
	toPut   posts
	noPut   bool // the broker has not taken all posts; for againAt
	noRoom  int  // posts that were dropped for lack of room and not logged yet
}

// New returns an Attendance. It states nothing to the broker until Run is called.
func New(c Config) *Attendance {
	a := &Attendance{
		config:  c,
		by:      broker.Attendant{Node: c.Run, Lease: time.Duration(leaseShare * float64(c.Lease)), Linger: c.Linger},
		period:  max(c.Lease/lifeSigns, time.Millisecond),
		wake:    make(chan struct{}, 1),
		reading: make(chan struct{}, concurrentReads),
		stays:   make(map[string]*stays), rosters: make(map[string]*roster),
		lines: slices.Clone(c.Lines),
	}
	a.work.Wall = c.Wall
	a.life, a.end = context.WithCancel(context.Background())
	return a
}

// Came records that a session has come to a channel as who.
func (a *Attendance) Came(channel string, who Who) { a.note(channel, nil, &who) }

// Went undoes a Came with the same User and Session. If who has an Info, it replaces
// the earlier one.
func (a *Attendance) Went(channel string, who Who) { a.note(channel, &who, nil) }

// Became records that a session on a channel has changed from was to is.
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

// queue marks s as changed. The caller must hold mu.
func (a *Attendance) queue(s *stays) {
	if !s.queued {
		s.queued = true
		a.changed = append(a.changed, s)
	}
}

// Link records whether the broker can be used; err is nil if it can.
func (a *Attendance) Link(err error) {
	a.mu.Lock()
	a.away = err
	a.mu.Unlock()
	if err == nil {
		a.Missed()
	}
}

// Missed is called when joins and leaves may have been missed, or when another node is gone, which
// may leave something to do.
func (a *Attendance) Missed() {
	a.mu.Lock()
	a.hurried = true
	a.mu.Unlock()
	rouse(a.wake)
}

func rouse(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}
