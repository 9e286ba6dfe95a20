package attendance

import (
	"slices"

	"tidegate/broker"
)

// stays holds this node's sessions on a channel. It is guarded by Attendance.mu.
type stays struct {
	channel  string
	sessions int
	members  map[string]*member // by Who.name
	changed  []*member          // with changes that the broker has not been told
	unsure   bool               // the broker may know later statements than stated; the next one has all changes since
	whole    bool               // the next statement lists all members, or begins to if they are many
	strays   bool               // once all is stated, look for members that only the broker believes to be here
	queued   bool               // it is in Attendance.changed or Attendance.aside
	aside    bool               // it is in Attendance.aside
	stating  bool               // a statement is in flight
	stated   uint64             // version of the last statement; 0 if the broker knows of nobody here
	waiting  []chan struct{}    // closed once everything that changed before has been stated
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

// change adds sessions, which may be negative, to the count of a member.
func (s *stays) change(who *Who, sessions int) {
	if who.User == "" && who.Session == "" {
		return
	}
	m := s.members[who.name()]
	if m == nil {
		m = &member{Who: *who}
		s.members[who.name()] = m
	}
	if m.sessions += sessions; sessions > 0 || who.Info != nil {
		m.Who = *who
	}
	s.note(m)
}

func (s *stays) note(m *member) {
	if !m.changed {
		m.changed = true
		s.changed = append(s.changed, m)
	}
}

// Bounds of a statement, so that it blocks neither the broker nor this node for long.
const (
	mostMembers = 500  // of one channel
	mostStated  = 2000 // members and channels together
)

// statement is what the broker is told about a channel.
type statement struct {
	broker.Attendance
	stays   *stays
	members []*member
	waiting []chan struct{} // those of stays that it satisfies
}

// state makes a statement and reports whether it contains all that is left to say.
func (s *stays) state(version uint64) (st statement, all bool) {
	if s.whole && len(s.members) > mostMembers {
		s.beginAnew()
	}
	st = statement{stays: s, Attendance: broker.Attendance{
		Channel: s.channel, Version: version, After: s.stated, AtLeast: s.unsure, Whole: s.whole, Sessions: s.sessions,
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
	s.changed, s.whole, s.unsure = slices.Delete(s.changed, 0, n), false, false
	if all = len(s.changed) == 0; !all {
		st.Sessions = max(st.Sessions, 1) // members whose leave is still to be stated count as present
	}
	return st, all
}

// beginAnew has all members be stated in parts. Parts cannot say who is not there: see
// Attendance.dropStrays.
func (s *stays) beginAnew() {
	for _, m := range s.members {
		s.note(m)
	}
	s.stated, s.unsure, s.whole, s.strays = 0, true, false, true
}

func (st *statement) add(m *member) {
	st.members = append(st.members, m)
	st.Members = append(st.Members, broker.Member{User: m.User, Session: m.Session, Info: m.Info, Elsewhere: m.Elsewhere, Sessions: m.sessions})
}

// taken records that the broker has taken a statement.
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

// refused records that the broker has not taken a statement, or that this is unknown. If it
// is known, the broker has lost data, and the next statement lists all members; so it does if
// the broker has been told of nobody yet.
func (s *stays) refused(st *statement, unknown bool) {
	s.unsure, s.whole = unknown, st.Whole || !unknown || s.stated == 0
	for _, m := range st.members {
		s.note(m)
	}
}

// stray notes that a member is not here, whom the broker may believe to be.
func (s *stays) stray(name string, who Who) {
	if s.members[name] == nil {
		m := &member{Who: Who{User: who.User, Session: who.Session}}
		s.members[name] = m
		s.note(m)
	}
}
