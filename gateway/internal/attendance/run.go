package attendance

import (
	"context"
	"sync"
	"time"

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
		a.refreshWants()
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
	stated, err := a.stateAndPut(ctx)
	for err == nil && stated > 0 {
		stated, err = a.stateAndPut(ctx)
	}
	a.logDropped()
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

// endLingers ends some of the lingers that have begun and reports whether there are more.
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

// next returns when the next work is due.
func (a *Attendance) next() time.Time {
	if !a.stateAt.IsZero() && a.stateAt.Before(a.keepAt) {
		return a.stateAt
	}
	return a.keepAt
}

func (a *Attendance) stateOrBackOff(ctx context.Context) {
	a.stateAt = time.Time{}
	stated, err := a.stateAndPut(ctx)
	switch {
	case err != nil:
		a.stateAt = time.Now().Add(pause.Backoff(a.attempts))
		a.attempts++
	case stated > 0:
		a.stateAt = time.Now().Add(statePause)
		a.attempts = 0
	}
}

// stateAndPut states all changes and puts all posts into lines. It returns how many there were.
func (a *Attendance) stateAndPut(ctx context.Context) (int, error) {
	stated, err := a.state(ctx)
	if err != nil {
		return stated, err
	}
	put, err := a.put(ctx)
	return stated + put, err
}

// keep gives a sign of life. With the answer it repairs what the broker has lost and what
// this node has missed.
func (a *Attendance) keep(ctx context.Context) {
	a.logDropped()
	a.version++
	a.swept = time.Now()
	standing, err := a.config.Presence.Keep(ctx, a.by, a.version)
	if err != nil {
		a.config.Log.Debug("no sign of life for presence", "error", err)
		return // the check of the link reports it
	}
	a.noteNextLinger(standing.Next)
	a.restate(standing.Since)
	a.leaveOthers(ctx, standing.Forgot)
	a.checkRosters(ctx)
	a.rouseAll()
}
