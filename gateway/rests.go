package gateway

import "slices"

// rests are what remains to be done for a session: mostly, to send it what it has missed. One
// goroutine does one after the other, so that together they wait for room in the outbox.
// Guarded by the session's mu.
type rests struct {
	queue   []rest
	running bool
}

type rest struct {
	of     *subscription // nil: of the whole session
	number uint32        // of the reply that it follows; see hub.Joiner
	do     func()
}

// later does r in another goroutine once the session has a connection, after what it was given
// before; what concerns the whole session comes last. Of what the same subscription has waiting,
// what follows its latest reply is left.
func (s *Session) later(r rest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rests == nil {
		s.rests = new(rests)
	}
	s.rests.queue = slices.DeleteFunc(s.rests.queue, func(was rest) bool {
		return was.of != nil && (r.follows(was) || !s.places.have(was.of)) // else a client could make the queue grow
	})
	s.rests.add(r)
	s.goOnWithRests()
}

// follows reports whether r belongs to the same subscription and is not older.
func (r rest) follows(was rest) bool { return r.of == was.of && int32(r.number-was.number) >= 0 }

// add queues r, unless what follows it waits already.
func (q *rests) add(r rest) {
	if r.of != nil && slices.ContainsFunc(q.queue, func(other rest) bool { return other.follows(r) }) {
		return
	}
	at := len(q.queue)
	for r.of != nil && at > 0 && q.queue[at-1].of == nil {
		at--
	}
	q.queue = slices.Insert(q.queue, at, r)
}

// goOnAttached starts what has waited for the session's connection.
func (s *Session) goOnAttached() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.goOnWithRests()
}

// goOnWithRests starts the goroutine of the rests, if it does not run. The caller must hold mu.
func (s *Session) goOnWithRests() {
	if s.rests == nil || s.rests.running || !s.out.Attached() {
		return
	}
	s.rests.running = true
	s.goOn(func() {
		for do := s.nextRest(); do != nil; do = s.nextRest() {
			do()
		}
	})
}

// nextRest returns the next of the rests, or nil if there are none.
func (s *Session) nextRest() (do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.rests.queue) == 0 {
		s.rests = nil
		return nil
	}
	do, s.rests.queue = s.rests.queue[0].do, s.rests.queue[1:]
	return do
}
