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
	of *subscription // nil: of the whole session
	do func()
}

// later does r in another goroutine once the session has a connection, after what it was given
// before; what concerns the whole session comes last. It replaces what the same subscription
// has waiting.
func (s *Session) later(r rest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rests == nil {
		s.rests = new(rests)
	}
	s.rests.add(r, func(was rest) bool {
		return was.of != nil && (was.of == r.of || !s.places.have(was.of)) // else a client could make the queue grow
	})
	s.goOnWithRests()
}

// add queues r in place of those that over reports.
func (q *rests) add(r rest, over func(rest) bool) {
	q.queue = slices.DeleteFunc(q.queue, over)
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
