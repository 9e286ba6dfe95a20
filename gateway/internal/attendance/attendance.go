// Package attendance is who is where in the whole cluster. Sessions come to
// channels and go; presence lists, joins and leaves, how many there are, and what a
// backend is told of it are views of that one fact.
//
// The fact is the broker's (see broker.Presence): this node states whom it has, and
// keeps nothing of what other nodes have. However many sessions come and go, one
// statement at a time is on its way for all channels, and what changes meanwhile goes
// with the next one.
//
//	stays.go      what this node has, and what of it the broker is to be told
//	roster.go     who is on the channels whose audience hears of joins and leaves
//	teller.go     has a backend told what is in line
package attendance

import (
	"context"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"tidegate/broker"
	"tidegate/broker/lock"
	"tidegate/gateway/internal/wall"
)

// Config is what an Attendance is made of. Presence, Broker, Log and Wall are
// required.
type Config struct {
	Presence broker.Presence
	Broker   broker.Broker // over which joins and leaves come
	Node     string        // as the other nodes know it
	Run      string        // a name that this run of the node alone has
	Lease    time.Duration // a node that is silent for so long has nobody
	Linger   time.Duration // within which who left may be back unnoticed
	Wants    broker.Wants  // what the backend is to be told
	Alone    func() bool   // no other node is alive

	// Deliver returns nil once the backend has the notices; nil: there is no backend.
	// Its context ends when another node may deliver.
	Deliver func(context.Context, []broker.Notice) error
	Rouse   func(ctx context.Context, node string) error // calls another node's RouseTeller
	Dropped func(n int)                                  // told of notices that found no room; nil: nobody is

	Changes int // joins and leaves of a channel that its audience is told in a second; 0: all
	Log     *slog.Logger
	Wall    *wall.Wall
}

// Who is who is on a channel: a member is a user or, where Session is set, one
// session. The zero Who is no member, and only counted.
type Who struct {
	User    string
	Session string
	Info    json.RawMessage // shown with a member; nil: none
}

func (w *Who) isMember() bool { return w.User != "" || w.Session != "" }

// name is what a member is known by. No user's is a session's.
func (w *Who) name() string {
	if w.Session != "" {
		return "-" + w.Session
	}
	return "+" + w.User
}

// Attendance is this node's part in the bookkeeping. All methods may be called
// concurrently.
type Attendance struct {
	// Fixed at birth.
	config  Config
	by      broker.Attendant
	period  time.Duration // between signs of life
	wake    chan struct{}
	teller  *teller
	life    context.Context // ends with Run
	end     context.CancelFunc
	work    wall.Group    // goroutines that nobody else waits for
	reading chan struct{} // a place in it is the right to read for a roster

	// Owned by Run.
	version  uint64    // of the last attendance
	attempts int       // to state that have failed in a row
	stateAt  time.Time // when the next may be made; zero: now
	keepAt   time.Time // when the next sign of life is due
	swept    time.Time // the last one

	// Guarded by mu. Nothing is called under it.
	mu      lock.Mutex[lock.Attendance]
	stays   map[string]*stays // by channel
	changed []*stays          // those that the broker does not know all of
	stating bool              // a statement is on its way
	waiting []chan struct{}   // closed when all that was changed before has been stated
	hurried bool              // something may have been missed: look now
	away    error             // why the broker cannot be used; nil: it can
	rosters map[string]*roster
	reads   map[string]*read // of members, by channel
}

// A sign of life is given often enough for several to be missed before the node
// counts as dead, and for that to be noticed within the lease.
const (
	leaseShare  = 2.0 / 3 // of the lease of the configuration, the broker's one
	lifeSigns   = 6       // within a lease
	lingerGrace = 5 * time.Millisecond

	statePause      = 10 * time.Millisecond // between statements, for changes to go together
	sweepPause      = 50 * time.Millisecond // between looks at lingers
	readPatience    = 1500 * time.Millisecond
	lastPatience    = 2 * time.Second // to state what is left at the end
	concurrentReads = 16
)

// New returns an Attendance that states nothing until Run.
func New(c Config) *Attendance {
	a := &Attendance{
		config: c,
		by: broker.Attendant{
			Node: c.Run, Lease: time.Duration(leaseShare * float64(c.Lease)), Linger: c.Linger, Wants: c.Wants,
		},
		period:  max(c.Lease/lifeSigns, time.Millisecond),
		wake:    make(chan struct{}, 1),
		reading: make(chan struct{}, concurrentReads),
		stays:   make(map[string]*stays), rosters: make(map[string]*roster), reads: make(map[string]*read),
	}
	a.work.Wall = c.Wall
	a.life, a.end = context.WithCancel(context.Background())
	if c.Deliver != nil {
		a.teller = newTeller(a)
	}
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

func rouse(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
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

// Run states, gives signs of life and has the backend told until ctx ends. Then it
// states what is left: whoever has not come back to another node within the linger
// leaves, and another node will tell. The broker must run until it has returned. It
// is called again if it has panicked.
func (a *Attendance) Run(ctx context.Context) {
	telling, stop := context.WithCancel(context.WithoutCancel(ctx))
	var teller sync.WaitGroup
	if a.teller != nil {
		teller.Go(func() { a.teller.run(telling) })
	}
	defer func() {
		stop()
		teller.Wait()
		if ctx.Err() != nil {
			a.end()
			a.work.Wait()
		}
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			a.stateLast(ctx)
			return
		case <-a.wake:
		case <-timer.C:
		}
		a.doDue(ctx)
		timer.Reset(time.Until(a.next()))
	}
}

// stateLast states what is left. If nobody else is there to tell of the ends of
// lingers, nobody lingers, and those end that have begun.
func (a *Attendance) stateLast(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastPatience)
	defer cancel()
	alone := a.config.Alone()
	if alone {
		a.by.Linger = 0
	}
	stated, err := a.state(ctx)
	for err == nil && stated > 0 {
		stated, err = a.state(ctx)
	}
	if err != nil {
		a.config.Log.Warn("users of this node stay present until its lease ends", "error", err)
		return
	}
	for more := alone; more && err == nil; {
		more, err = a.endLingers(ctx)
	}
	if err != nil {
		a.config.Log.Warn("who lingers is told to have left when the next node starts", "error", err)
	}
}

// endLingers ends some of the lingers that have begun, and reports whether there are
// more.
func (a *Attendance) endLingers(ctx context.Context) (more bool, err error) {
	a.version++
	standing, err := a.config.Presence.Keep(ctx, a.by, a.version)
	return standing.Next > 0, err
}

func (a *Attendance) doDue(ctx context.Context) {
	if a.takeHurry() {
		a.stateAt, a.keepAt = time.Time{}, time.Time{}
	}
	if !time.Now().Before(a.stateAt) {
		a.stateOrBackOff(ctx)
	}
	if now := time.Now(); !now.Before(a.keepAt) {
		a.keepAt = now.Add(a.period)
		a.keep(ctx)
	}
}

func (a *Attendance) takeHurry() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	hurried := a.hurried
	a.hurried = false
	return hurried
}

// next returns when something is due again.
func (a *Attendance) next() time.Time {
	if !a.stateAt.IsZero() && a.stateAt.Before(a.keepAt) {
		return a.stateAt
	}
	return a.keepAt
}

func (a *Attendance) stateOrBackOff(ctx context.Context) {
	a.stateAt = time.Time{}
	stated, err := a.state(ctx)
	switch {
	case err != nil:
		a.stateAt = time.Now().Add(backoff(a.attempts))
		a.attempts++
	case stated > 0:
		a.stateAt = time.Now().Add(statePause)
		a.attempts = 0
	}
}

// keep gives a sign of life, and sees whether the broker knows what it should, and
// this node too.
func (a *Attendance) keep(ctx context.Context) {
	a.version++
	a.swept = time.Now()
	standing, err := a.config.Presence.Keep(ctx, a.by, a.version)
	if err != nil {
		a.config.Log.Debug("no sign of life for presence", "error", err)
		return // the link's own check tells of it
	}
	a.noteNextLinger(standing.Next)
	a.restate(standing.Since)
	a.checkRosters(ctx)
	a.teller.noteChange()
}

// noteNextLinger has the next sign of life given when a linger ends.
func (a *Attendance) noteNextLinger(after time.Duration) {
	if after <= 0 {
		return
	}
	end := time.Now().Add(after + lingerGrace)
	if soonest := a.swept.Add(sweepPause); end.Before(soonest) {
		end = soonest
	}
	if end.Before(a.keepAt) {
		a.keepAt = end
	}
}

// backoff returns a random time that doubles with each attempt, up to 5 s.
func backoff(attempt int) time.Duration {
	most := min(50*time.Millisecond<<min(attempt, 10), 5*time.Second)
	return most/2 + rand.N(most/2)
}

// pause waits, and reports whether ctx still lasts.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
