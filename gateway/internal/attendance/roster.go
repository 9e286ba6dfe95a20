package attendance

import (
	"sync"
	"time"

	"tidegate/broker"

	"golang.org/x/time/rate"
)

// Change is what the audience of a channel is told.
type Change struct {
	Kind Kind
	Who  Who // of Joined and Left
}

// Kind is what has changed.
type Kind uint8

const (
	Joined Kind = iota
	Left
	Many // more than are told one by one: who wants to know asks for the members
)

// roster is who is on a channel, as its audience here has been told. Joins and
// leaves come as messages whose positions are contiguous, so that a loss is noticed;
// then the members are read, and the audience is told what has changed.
type roster struct {
	// Fixed at birth.
	channel string
	tell    func(Change)
	mu      sync.Locker // guards the rest

	members  map[string]Who  // by name
	position broker.Position // of the last join or leave
	reading  bool
	closed   bool             // nobody is told any more
	early    []broker.Message // came while the members were read

	// A broker that has lost its memory learns from the nodes who is there. Until
	// they have had time for that, nobody is taken to have left because the
	// broker does not know him. Zero: it has lost nothing.
	amnesia time.Time

	limit     *rate.Limiter // of what is told one by one; nil: all is
	untold    bool          // something was not, and nobody has been told so
	mentioned bool          // that there is more than is told, within the last second
}

func whoIs(m *broker.Member) Who { return Who{m.User, m.Session, m.Info, m.Elsewhere} }

// differs reports whether the newest join or leave is not the one that was heard
// before the broker was asked for it, or members may have left while the broker knew
// nothing.
func (r *roster) differs(heard, newest broker.Position) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reading || r.position != heard {
		return false
	}
	return newest != heard || !r.amnesia.IsZero() && time.Now().After(r.amnesia)
}
