package gateway

import (
	"log/slog"
	"net/netip"
	"slices"

	"tidegate/broker/lock"
)

// sessions are the node's open sessions by ID, by user, by network address, and by the second
// in which their turn for a heartbeat comes. All methods are safe for concurrent use.
type sessions struct {
	mu     lock.Mutex[lock.Sessions]
	slots  [][]*Session
	next   int // the slot for the next session
	count  int
	byName map[string]*Session
	byUser map[string][]*Session
	from   map[netip.Prefix]int // number of sessions by NetworkOf; used only if that is limited
	empty  chan struct{}        // closed when the last session is gone; nil: nobody waits
}

func newSessions(slots int) *sessions {
	return &sessions{slots: make([][]*Session, slots), byName: make(map[string]*Session), byUser: make(map[string][]*Session), from: make(map[netip.Prefix]int)}
}

// ErrSessionOpen is returned if a session with the same ID (Hello.Session) is open.
var ErrSessionOpen = failf(Unavailable, "a session with this id is open: try again with another")

// add adds a session, if the limits allow.
func (r *sessions) add(s *Session, l *Limits) error {
	var network netip.Prefix
	if l.SessionsPerIP > 0 {
		network = NetworkOf(s.remote)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.byName[s.id] != nil:
		return ErrSessionOpen
	case l.Sessions > 0 && r.count >= l.Sessions:
		return failf(LimitExceeded, "the node has %d sessions, as many as limits.sessions allows: try another node", l.Sessions)
	case network.IsValid() && r.from[network] >= l.SessionsPerIP:
		return failf(LimitExceeded, "%v has %d sessions here, as many as limits.sessions_per_ip allows", network, l.SessionsPerIP)
	case network.IsValid():
		r.from[network]++
	}
	s.slot = int32(r.next)
	r.next = (r.next + 1) % len(r.slots)
	s.index = int32(len(r.slots[s.slot]))
	r.slots[s.slot] = append(r.slots[s.slot], s)
	r.byName[s.id] = s
	r.count++
	return nil
}

// remove removes a session.
func (r *sessions) remove(s *Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.removed = true
	slot := r.slots[s.slot]
	last := len(slot) - 1
	slot[s.index] = slot[last]
	slot[s.index].index = s.index
	slot[last] = nil
	r.slots[s.slot] = slot[:last]
	delete(r.byName, s.id)
	r.count--
	r.removeFromUser(s)
	r.removeFrom(s.remote)
	if r.count == 0 && r.empty != nil {
		close(r.empty)
		r.empty = nil
	}
}

func (r *sessions) removeFromUser(s *Session) {
	of := r.byUser[s.user]
	at := slices.Index(of, s)
	if at < 0 {
		return
	}
	if len(of) == 1 {
		delete(r.byUser, s.user)
		return
	}
	r.byUser[s.user] = slices.Delete(of, at, at+1)
}

func (r *sessions) removeFrom(remote string) {
	if len(r.from) == 0 {
		return // not counted
	}
	network := NetworkOf(remote)
	if r.from[network] > 1 {
		r.from[network]--
	} else {
		delete(r.from, network)
	}
}

// identify records the user of s, if the user has fewer than most sessions. It returns an
// error if the session has ended, because nothing would remove it again.
func (r *sessions) identify(s *Session, user string, most int) error {
	if user == "" {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.byUser[user]
	switch {
	case s.user == user:
		return nil
	case s.removed:
		return failf(Unavailable, "the session has ended")
	}
	if most > 0 && len(of) >= most {
		return failf(LimitExceeded, "the user has %d sessions here, as many as limits.sessions_per_user allows", most)
	}
	s.user = user
	r.byUser[user] = append(of, s)
	return nil
}

// named returns the session with an ID, or nil.
func (r *sessions) named(id string) *Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byName[id]
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

// all returns all sessions.
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

// waiting returns how many bytes wait to be written to all sessions.
func (r *sessions) waiting() (total int) {
	for _, s := range r.all() {
		total += s.out.Bytes()
	}
	return total
}

type slowSession struct {
	session *Session
	bytes   int
}

// slow returns the sessions that do not keep up, and the total of bytes waiting for them.
func (r *sessions) slow() (slow []slowSession, total int) {
	for slot := range r.slots {
		for _, s := range r.at(slot) {
			if n := s.out.Overdue(); n > 0 {
				slow = append(slow, slowSession{s, n})
				total += n
			}
		}
	}
	return slow, total
}

// boundOutboxes closes sessions that do not keep up while more than most bytes wait for all
// of them together, starting with the one with the most waiting. A message counts once for
// each session, although sessions share its memory.
func (r *sessions) boundOutboxes(most int, log *slog.Logger) {
	if most <= 0 {
		return
	}
	slow, total := r.slow()
	if total <= most {
		return
	}
	slices.SortFunc(slow, func(a, b slowSession) int { return b.bytes - a.bytes })
	closed := 0
	for _, s := range slow {
		if total <= most {
			break
		}
		s.session.Close(SlowConsumer.With("too much waits on this node in all, most of it for this client"))
		total -= s.bytes
		closed++
	}
	log.Warn("closed the slowest sessions: limits.outbox_total_bytes was exceeded", "sessions", closed, "limit", most)
}

// gone returns a channel that is closed once there are no sessions.
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

// expiring are the sessions with a token or a subscription that ends before their next turn.
type expiring struct {
	mu       lock.Mutex[lock.Expiring]
	sessions map[*Session]struct{}
}
