package attendance

import (
	"cmp"
	"context"
	"sync"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/pause"
)

// Run states changes, gives signs of life and delivers notices until ctx ends. Then it
// states what is left. A user who does not come back to another node within the linger has
// left, and another node says so. The broker must keep running until Run returns. Run may
// be called again after it has panicked.
func (a *Attendance) Run(ctx context.Context) {
	telling, stop := context.WithCancel(context.WithoutCancel(ctx))
	var tellers sync.WaitGroup
	a.mu.Lock()
	a.tellers = make(map[string]*teller)
	a.mu.Unlock()
	defer func() {
		stop()
		tellers.Wait()
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
		a.tend(telling, &tellers)
		a.doDue(ctx)
		timer.Reset(time.Until(a.next()))
	}
}

// stateLast states what is left at shutdown. If no other node is alive to end lingers, new
// ones do not begin, and those that have begun end at once.
func (a *Attendance) stateLast(ctx context.Context) {
	ctx, cancel := a.config.last(ctx, lastPatience)
	defer cancel()
	alone := a.config.Alone()
	if alone {
		a.by.Linger = 0
	}
	a.tryAgain()
	stated, err := a.stateAndPut(ctx)
	for stated > 0 {
		var failed error
		stated, failed = a.stateAndPut(ctx)
		err = cmp.Or(err, failed)
	}
	a.logDropped()
	if err != nil {
		a.config.Log.Warn("users of this node stay present until its lease ends", "error", err)
		return
	}
	for more := alone; more && err == nil; {
		a.version++
		var standing broker.Standing
		standing, err = a.config.Presence.Keep(ctx, a.by, a.version) // ends some of the lingers that have begun
		more = standing.Next > 0
	}
	if err != nil {
		a.config.Log.Warn("who lingers is told to have left when the next node starts", "error", err)
	}
}

func (a *Attendance) doDue(ctx context.Context) {
	if a.takeHurry() {
		a.stateAt, a.againAt, a.keepAt = time.Time{}, time.Time{}, time.Time{}
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

// next returns when the next work is due.
func (a *Attendance) next() time.Time {
	at := cmp.Or(a.stateAt, a.againAt)
	if !at.IsZero() && at.Before(a.keepAt) {
		return at
	}
	return a.keepAt
}

// stateOrBackOff states and puts what is due. What fails is tried again later and later; the
// other statements need not wait for it, as the broker may be away in part, but all posts do.
func (a *Attendance) stateOrBackOff(ctx context.Context) {
	again := !time.Now().Before(a.againAt)
	if again {
		a.tryAgain()
	}
	stated, err := a.stateAndPut(ctx)
	a.stateAt = time.Time{}
	if stated > 0 {
		a.stateAt = time.Now().Add(statePause)
	}
	switch {
	case !again:
	case err != nil:
		a.againAt = time.Now().Add(pause.Backoff(a.attempts))
		a.attempts++
	default:
		a.againAt, a.attempts = time.Time{}, 0
	}
}

// stateAndPut states changes and puts posts into lines. It returns how many there were.
func (a *Attendance) stateAndPut(ctx context.Context) (int, error) {
	stated, err := a.state(ctx)
	put, failed := a.put(ctx)
	return stated + put, cmp.Or(err, failed)
}

// keep gives a sign of life. With the answer it repairs what the broker has lost and what
// this node has missed.
func (a *Attendance) keep(ctx context.Context) {
	a.logDropped()
	a.version++
	a.swept = time.Now()
	standing, err := a.config.Presence.Keep(ctx, a.by, a.version)
	if err != nil {
		a.config.Log.Debug("no sign of life for presence", "error", err) // the check of the link reports it
	}
	if standing.Since == nil {
		return
	}
	a.noteNextLinger(standing.Next)
	a.restate(standing.Since)
	a.leaveOthers(ctx, standing.Forgot)
	a.checkRosters(ctx)
	a.rouseLines(nil)
}
