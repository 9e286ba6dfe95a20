package attendance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/pause"
)

// state states changes to the broker and returns on how many channels. Changes that the
// broker does not take remain to be stated: at againAt if it could not be told.
func (a *Attendance) state(ctx context.Context) (int, error) {
	statements := a.begin()
	if len(statements) == 0 {
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
	a.noteTaken(statements, taken, err)
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

// begin makes the next statements.
func (a *Attendance) begin() (statements []statement) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n, size := 0, 0
	var more []*stays
	for ; n < len(a.changed) && size < mostStated; n++ {
		s := a.changed[n]
		a.version++
		st, all := s.state(a.version)
		if all {
			st.waiting, s.waiting = s.waiting, nil
		} else {
			more = append(more, s)
		}
		s.queued, s.stating = !all, true
		statements = append(statements, st)
		size += 1 + len(st.Members)
	}
	a.changed = append(more, a.changed[n:]...)
	return statements
}

// noteTaken records which statements the broker has taken, and wakes the waiters of those.
// err is what Attend has returned.
func (a *Attendance) noteTaken(statements []statement, taken []bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range statements {
		st, s := &statements[i], statements[i].stays
		s.stating = false
		if taken[i] {
			s.taken(st)
			letGo(st.waiting)
		} else {
			s.refused(st, err != nil)
			a.queue(s)
			s.aside = err != nil
			s.waiting = append(st.waiting, s.waiting...)
		}
		if s.queued {
			continue
		}
		if s.strays {
			s.strays = false
			a.work.Go(func() {
				a.readUntil(s.channel, func() {}, func(read broker.Roster, err error) bool { return a.dropStrays(s, read, err) })
			})
		}
		letGo(s.waiting) // they came while the statement was in flight, and nothing has changed since
		s.waiting = nil
		if s.sessions == 0 && len(s.members) == 0 && s.stated == 0 {
			delete(a.stays, s.channel)
		}
	}
	if err != nil {
		a.setAside()
	}
}

// dropStrays states who is not on the channel here, of those whom the broker may believe to be:
// see readUntil.
func (a *Attendance) dropStrays(s *stays, read broker.Roster, err error) (done bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case err != nil:
		return false
	case a.stays[s.channel] != s:
		return true // nobody is here, and the broker has been told
	}
	for i := range read.Members {
		if who := whoIs(&read.Members[i]); read.Members[i].Sessions > 0 {
			s.stray(who.name(), who)
		}
	}
	if len(s.changed) > 0 {
		a.queue(s)
		rouse(a.wake)
	}
	return true
}

// setAside moves what the broker could not be told from changed to aside. The caller must
// hold mu.
func (a *Attendance) setAside() {
	a.changed = slices.DeleteFunc(a.changed, func(s *stays) bool {
		if s.aside {
			a.aside = append(a.aside, s)
		}
		return s.aside
	})
}

// tryAgain has the next statements and posts include those that have failed.
func (a *Attendance) tryAgain() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.aside {
		s.aside = false
	}
	a.changed, a.aside, a.noPut = append(a.aside, a.changed...), nil, false
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
		a.config.Log.Debug("what the broker has forgotten is not all mended yet", "error", err)
	} else {
		a.forgot = forgot
	}
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

// Members returns who is on a channel in the whole cluster, ordered by user. It accounts for
// everyone who came or went on this node before the call. Members who linger have no sessions.
func (a *Attendance) Members(ctx context.Context, channel string) (broker.Roster, error) {
	if err := a.awaitStated(ctx, channel); err != nil {
		if !errors.Is(err, broker.ErrUnavailable) {
			err = fmt.Errorf("%w: %w", broker.ErrUnavailable, err)
		}
		return broker.Roster{}, err
	}
	return a.config.Presence.Members(ctx, channel)
}

// awaitStated returns once the broker knows every change made on this node to the channel before
// the call.
func (a *Attendance) awaitStated(ctx context.Context, channel string) error {
	stated, err := a.unstated(channel)
	if stated == nil {
		return err
	}
	rouse(a.wake)
	return pause.Await(ctx, stated, readPatience)
}

// unstated returns what is closed once the broker knows all changes to the channel, or nil if it
// knows them.
func (a *Attendance) unstated(channel string) (stated chan struct{}, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.stays[channel]; a.away == nil && s != nil && (s.queued || s.stating) {
		stated = make(chan struct{})
		s.waiting = append(s.waiting, stated)
	}
	return stated, a.away
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
