package attendance

import (
	"slices"

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
	st.Members = append(st.Members, broker.Member{User: m.User, Session: m.Session, Info: m.Info, Elsewhere: m.Elsewhere, Sessions: m.sessions})
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
