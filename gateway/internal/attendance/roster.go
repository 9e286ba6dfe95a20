package attendance

import (
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
	early    []broker.Message // joins and leaves that arrived while the members were being read
	rolls    []*Roll          // called and not ended yet

	// A broker that has lost its data learns from the nodes who is there. Until this time it may
	// not know all members yet, so nobody counts as having left. Zero if it has lost nothing.
	amnesia time.Time

	limit     *rate.Limiter // for changes told one by one; nil means no limit
	untold    bool          // a change was held back, and no Many sent since
	mentioned bool          // Many was sent within the last second
}

func whoIs(m *broker.Member) Who { return Who{m.User, m.Session, m.Info, m.Elsewhere} }

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
