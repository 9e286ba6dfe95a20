package attendance

import (
	"context"
	"slices"
	"time"

	"tidegate/broker"
)

// stays are this node's sessions on a channel. They are guarded by Attendance.mu.
type stays struct {
	channel  string
	sessions int
	members  map[string]*member // by Who.name
	changed  []*member          // of whom the broker has not been told the latest
	whole    bool               // it is to be told of all
	queued   bool               // in Attendance.changed
	stated   uint64             // the version of the last statement; 0: the broker knows of nobody
}

type member struct {
	Who
	sessions int
	changed  bool
}

func newStays(channel string) *stays {
	return &stays{channel: channel, members: make(map[string]*member)}
}

func (s *stays) became(was, is *Who) {
	if is != nil {
		s.sessions++
		s.change(is, 1)
	}
	if was != nil {
		s.sessions--
		s.change(was, -1)
	}
}

// change counts a session of a member.
func (s *stays) change(who *Who, sessions int) {
	if !who.isMember() {
		return
	}
	m := s.members[who.name()]
	if m == nil {
		m = &member{Who: *who}
		s.members[who.name()] = m
	}
	if m.sessions += sessions; sessions > 0 || who.Info != nil {
		m.User, m.Info = who.User, who.Info
	}
	s.note(m)
}

func (s *stays) note(m *member) {
	if !m.changed {
		m.changed = true
		s.changed = append(s.changed, m)
	}
}

// A statement is bounded, so that it holds up neither the broker nor this node.
const (
	mostMembers = 500  // of one channel, unless all are told
	mostStated  = 2000 // members and channels
)

// statement is what the broker is told of a channel.
type statement struct {
	broker.Attendance
	stays   *stays
	members []*member
}

// state makes a statement, and reports whether it leaves nothing to say.
func (s *stays) state(version uint64) (st statement, all bool) {
	st = statement{stays: s, Attendance: broker.Attendance{
		Channel: s.channel, Version: version, After: s.stated, Whole: s.whole, Sessions: s.sessions,
	}}
	n := min(len(s.changed), mostMembers)
	if s.whole {
		n = len(s.changed)
		for _, m := range s.members {
			if !m.changed {
				st.add(m)
			}
		}
	}
	for _, m := range s.changed[:n] {
		m.changed = false
		st.add(m)
	}
	s.changed, s.whole = slices.Delete(s.changed, 0, n), false
	if all = len(s.changed) == 0; !all {
		st.Sessions = max(st.Sessions, 1) // who is still to be said to have left is there
	}
	return st, all
}

func (st *statement) add(m *member) {
	st.members = append(st.members, m)
	st.Members = append(st.Members, broker.Member{User: m.User, Session: m.Session, Info: m.Info, Sessions: m.sessions})
}

// taken notes that the broker has taken a statement.
func (s *stays) taken(st *statement) {
	s.stated = st.Version
	if st.Sessions == 0 {
		s.stated = 0
	}
	for _, m := range st.members {
		if m.sessions == 0 && !m.changed {
			delete(s.members, m.name())
		}
	}
}

// refused notes that the broker has not taken a statement, or may have: it is told
// of all.
func (s *stays) refused(st *statement) {
	s.whole = true
	for _, m := range st.members {
		s.note(m)
	}
}

// state tells the broker of what has changed, on how many channels it returns. What
// fails stays changed.
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
	a.settle(statements, taken, waiting)
	a.noteNextLinger(departure(statements, a.by.Linger))
	a.teller.noteChange()
	return len(list), err
}

// departure returns after what time a linger ends that begins with the statements;
// 0: none does.
func departure(statements []statement, linger time.Duration) time.Duration {
	for _, st := range statements {
		if st.Sessions == 0 || slices.ContainsFunc(st.Members, func(m broker.Member) bool { return m.Sessions == 0 }) {
			return linger
		}
	}
	return 0
}

// begin makes the next statements, and returns who waits until all is stated.
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

// settle notes what was taken, and tells those who wait if all was.
func (a *Attendance) settle(statements []statement, taken []bool, waiting []chan struct{}) {
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

// restate has all channels stated anew of which the broker knows nothing any more.
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

// settled returns once the broker knows of all that has changed on this node before.
func (a *Attendance) settled(ctx context.Context) error {
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
	return await(ctx, done)
}

// await waits until done is closed; an error says that it was in vain.
func await(ctx context.Context, done <-chan struct{}) error {
	timer := time.NewTimer(readPatience)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return broker.ErrUnavailable
	}
}

// Members returns who is on a channel in the whole cluster, by user. Who came or went
// on this node before is accounted for. Those who linger have no sessions.
func (a *Attendance) Members(ctx context.Context, channel string) (broker.Roster, error) {
	if err := a.settled(ctx); err != nil {
		return broker.Roster{}, unavailable(err)
	}
	return a.read(ctx, channel)
}

// Count returns how many are on channels in the whole cluster, in the order asked.
// Channels of which nobody has stated anything have nobody.
func (a *Attendance) Count(ctx context.Context, channels ...string) ([]broker.Occupancy, error) {
	if err := a.settled(ctx); err != nil {
		return nil, unavailable(err)
	}
	return a.config.Presence.Look(ctx, channels)
}
