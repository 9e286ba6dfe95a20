package attendance

import (
	"cmp"
	"slices"
	"strings"
)

// Roll holds the members of a channel at one moment, as its audience has been told, and the
// changes since then. It lets a newcomer be told the Members without holding the channel's
// lock while the list is encoded.
type Roll struct {
	Members []Who // in no order; owned by the caller

	// Guarded by the roster's mu.
	roster  *roster
	changes []Change
}

// Here returns the roll of a followed channel, or nil if it is not followed. The caller must
// hold the Locker, and call End later.
func (a *Attendance) Here(channel string) *Roll {
	r := a.roster(channel)
	if r == nil {
		return nil
	}
	roll := &Roll{Members: make([]Who, 0, len(r.members)), roster: r}
	for _, who := range r.members {
		roll.Members = append(roll.Members, who)
	}
	r.rolls = append(r.rolls, roll)
	return roll
}

// End returns the joins and leaves since Here, in order. The caller must hold the Locker.
func (r *Roll) End() []Change {
	all := &r.roster.rolls
	*all = slices.DeleteFunc(*all, func(other *Roll) bool { return other == r })
	return r.changes
}

// note adds a change to the open rolls. The caller must hold r.mu.
func (r *roster) note(c Change) {
	for _, roll := range r.rolls {
		roll.changes = append(roll.changes, c)
	}
}

// Is reports whether both are the same member.
func (w *Who) Is(o *Who) bool { return w.User == o.User && w.Session == o.Session }

// Compare orders members: users, then sessions.
func (w Who) Compare(o Who) int {
	return cmp.Or(strings.Compare(w.Session, o.Session), strings.Compare(w.User, o.User))
}
