package gateway

import (
	"slices"
	"sync"
)

// sessions are the node's open sessions, by user, and by the second in which
// their turn for a heart-beat comes. All methods may be called concurrently.
type sessions struct {
	mu     sync.Mutex
	slots  [][]*Session
	next   int // the slot that the next session gets
	count  int
	byUser map[string][]*Session
	empty  chan struct{} // closed when the last one is gone; nil: nobody waits
}

func newSessions(slots int) *sessions {
	return &sessions{slots: make([][]*Session, slots), byUser: make(map[string][]*Session)}
}

// add registers a session, if there are fewer than most (0: any number).
func (r *sessions) add(s *Session, most int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if most > 0 && r.count >= most {
		return failf(LimitExceeded, "the node has %d sessions, as many as limits.sessions allows: try another node", most)
	}
	s.slot = r.next
	r.next = (r.next + 1) % len(r.slots)
	s.index = len(r.slots[s.slot])
	r.slots[s.slot] = append(r.slots[s.slot], s)
	r.count++
	return nil
}

// remove forgets a session.
func (r *sessions) remove(s *Session) {
	user := s.who().User
	r.mu.Lock()
	defer r.mu.Unlock()
	slot := r.slots[s.slot]
	last := len(slot) - 1
	slot[s.index] = slot[last]
	slot[s.index].index = s.index
	slot[last] = nil
	r.slots[s.slot] = slot[:last]
	r.count--
	r.removeFromUser(s, user)
	if r.count == 0 && r.empty != nil {
		close(r.empty)
		r.empty = nil
	}
}

func (r *sessions) removeFromUser(s *Session, user string) {
	of := r.byUser[user]
	at := slices.Index(of, s)
	if at < 0 {
		return
	}
	if len(of) == 1 {
		delete(r.byUser, user)
		return
	}
	r.byUser[user] = slices.Delete(of, at, at+1)
}

// identify notes whose session s is, if the user has fewer than most.
func (r *sessions) identify(s *Session, user string, most int) error {
	if user == "" {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.byUser[user]
	if slices.Contains(of, s) {
		return nil
	}
	if most > 0 && len(of) >= most {
		return failf(LimitExceeded, "the user has %d sessions here, as many as limits.sessions_per_user allows", most)
	}
	r.byUser[user] = append(of, s)
	return nil
}

// of returns a user's sessions.
func (r *sessions) of(user string) []*Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.byUser[user])
}

// at returns the sessions of one slot.
func (r *sessions) at(slot int) []*Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.slots[slot%len(r.slots)])
}

// all returns every session.
func (r *sessions) all() []*Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]*Session, 0, r.count)
	for _, slot := range r.slots {
		list = append(list, slot...)
	}
	return list
}

func (r *sessions) number() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// gone returns a channel that is closed once there is no session.
func (r *sessions) gone() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.empty == nil {
		r.empty = make(chan struct{})
	}
	empty := r.empty
	if r.count == 0 {
		close(empty)
		r.empty = nil
	}
	return empty
}
