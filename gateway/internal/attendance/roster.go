package attendance

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"tidegate/broker"

	"golang.org/x/time/rate"
)

// Change is an event that a channel's audience is told.
type Change struct {
	Kind Kind
	Who  Who // set for Joined and Left
}

// Kind is the kind of a Change.
type Kind uint8

const (
	Joined Kind = iota
	Left
	Many // more changes than are told one by one: ask for the members
)

// roster holds who is on a channel, as the audience on this node has been told. Joins and
// leaves are messages with contiguous positions, so a lost one is noticed: then the members
// are read, and the audience is told the difference.
type roster struct {
	// Fixed at birth.
	channel string
	tell    func(Change)
	mu      sync.Locker // guards the rest

	members  map[string]Who  // by name
	position broker.Position // of the last join or leave heard
	reading  bool
	closed   bool             // nothing is told any more
	early    []broker.Message // joins and leaves that arrived while the members were being read, or about to be
	covered  int              // how many of these arrived before the read began
	rolls    []*Roll          // called and not ended yet

	// A broker that has lost its data learns from the nodes who is there. Until this time it may
	// not know all members yet, so nobody counts as having left. Zero if it has lost nothing.
	amnesia time.Time

	limit     *rate.Limiter // for changes told one by one; nil means no limit
	untold    bool          // a change was held back, and no Many sent since
	mentioned bool          // Many was sent within the last second
}

func whoIs(m *broker.Member) Who { return Who{m.User, m.Session, m.Info, m.Elsewhere} }

// cover is called when a read of the members is about to begin.
func (r *roster) cover() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.covered = len(r.early)
}

// differs reports whether the members must be read again: heard, the position before the
// broker was asked, is still the current one but not the newest; or members may have left
// while the broker had lost its data.
func (r *roster) differs(heard, newest broker.Position) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reading || r.position != heard {
		return false
	}
	return newest != heard || !r.amnesia.IsZero() && time.Now().After(r.amnesia)
}

// Roll holds the members of a channel at one moment, as its audience has been told, and the
// changes since then. It lets a newcomer be told the Members without holding the channel's
// lock while the list is encoded.
type Roll struct {
	Members []Who // in no order; owned by the caller

	// Guarded by the roster's mu.
	roster  *roster
	changes []Change
}

// call returns the roll of this moment. The caller must hold r.mu, and call End later.
func (r *roster) call() *Roll {
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
