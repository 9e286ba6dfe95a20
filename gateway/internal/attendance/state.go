package attendance

import (
	"context"
	"slices"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/pause"
)

// state states changes to the broker and returns on how many channels. Changes that the
// broker does not take remain to be stated.
func (a *Attendance) state(ctx context.Context) (int, error) {
	statements, waiting := a.begin()
	if len(statements) == 0 {
		letGo(waiting)
		return 0, nil
	}
	list := make([]broker.Attendance, len(statements))
	for i := range statements {
		list[i] = statements[i].Attendance
	}
	taken, err := a.config.Presence.Attend(ctx, a.by, list)
	if err != nil && taken == nil {
		taken = make([]bool, len(list))
	}
	a.noteTaken(statements, taken, waiting)
	a.noteNextLinger(departure(statements, a.by.Linger))
	a.rouseLines(list)
	return len(list), err
}

// departure returns the time after which a linger ends that the statements begin, or 0 if
// they begin none.
func departure(statements []statement, linger time.Duration) time.Duration {
	for _, st := range statements {
		if st.Sessions == 0 || slices.ContainsFunc(st.Members, func(m broker.Member) bool { return m.Sessions == 0 }) {
			return linger
		}
	}
	return 0
}

// begin makes the next statements. It returns the waiters that they satisfy.
func (a *Attendance) begin() (statements []statement, waiting []chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n, size := 0, 0
	var more []*stays
	for ; n < len(a.changed) && size < mostStated; n++ {
		s := a.changed[n]
		a.version++
		st, all := s.state(a.version)
		statements = append(statements, st)
		size += 1 + len(st.Members)
		if s.queued = !all; s.queued {
			more = append(more, s)
		}
	}
	a.changed = append(more, a.changed[n:]...)
	a.stating = len(statements) > 0
	if len(a.changed) == 0 {
		waiting, a.waiting = a.waiting, nil
	}
	return statements, waiting
}

// noteTaken records which statements the broker has taken, and wakes the waiters if it was all.
func (a *Attendance) noteTaken(statements []statement, taken []bool, waiting []chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stating = false
	all := true
	for i := range statements {
		st, s := &statements[i], statements[i].stays
		if all = all && taken[i]; taken[i] {
			s.taken(st)
		} else {
			s.refused(st)
			a.queue(s)
		}
		if s.sessions == 0 && len(s.members) == 0 && !s.queued && s.stated == 0 {
			delete(a.stays, s.channel)
		}
	}
	if all {
		letGo(waiting)
	} else {
		a.waiting = append(a.waiting, waiting...)
	}
}

func letGo(waiting []chan struct{}) {
	for _, done := range waiting {
		close(done)
	}
}

// restate queues the channels that the broker has lost, to be stated as a whole.
func (a *Attendance) restate(since func(channel string) uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.stays {
		if s.stated > 0 && s.stated < since(s.channel) && !s.queued {
			s.whole = true
			a.queue(s)
		}
	}
	if len(a.changed) > 0 {
		rouse(a.wake)
	}
}

// leaveOthers states that nobody is on those channels where only the broker believes this
// node to be: after losing data it may have an old state.
func (a *Attendance) leaveOthers(ctx context.Context, forgot uint64) {
	if forgot <= a.forgot {
		return
	}
	channels, err := a.config.Presence.Attended(ctx, a.by)
	if err != nil {
		a.config.Log.Debug("what the broker has forgotten is not mended yet", "error", err)
		return
	}
	a.forgot = forgot
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, channel := range channels {
		if a.stays[channel] == nil {
			s := newStays(channel)
			s.whole = true
			a.stays[channel] = s
			a.queue(s)
			rouse(a.wake)
		}
	}
}

// awaitStated returns once the broker knows every change made on this node before the call.
func (a *Attendance) awaitStated(ctx context.Context) error {
	a.mu.Lock()
	if a.away != nil {
		defer a.mu.Unlock()
		return a.away
	}
	if len(a.changed) == 0 && !a.stating {
		a.mu.Unlock()
		return nil
	}
	done := make(chan struct{})
	a.waiting = append(a.waiting, done)
	a.mu.Unlock()
	rouse(a.wake)
	return pause.Await(ctx, done, readPatience)
}

// noteNextLinger brings the next sign of life forward to the end of a linger.
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
