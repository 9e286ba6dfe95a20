package timeline

import (
	"slices"
	"sync/atomic"
	"time"

	"tidegate/broker"
	"tidegate/broker/lock"
)

// Store is what the timelines of one node share: the bounds on what their tails, and what
// Latest keeps, hold together, and the archive. The zero value is ready; all methods may
// be called concurrently.
//
// The archive holds pages of history that are too much for a channel's tail, for the
// moment in which many who resume want the same ones: each is read once.
type Store struct {
	tails  atomic.Int64 // weight of all tails
	latest atomic.Int64 // weight of all that is kept by Latest

	// Guarded by mu.
	mu       lock.Mutex[lock.Archive]
	archived int             // weight of all pages
	pages    map[any][]*page // by timeline, the oldest reads first
	order    []*page         // of reading
}

// MostBytes is what a store holds at most, the messages of one page and the frames
// of further protocols apart.
const MostBytes = tailsMost + latestMost + archiveBytes

const (
	tailBytes  = 2 << 20  // of one tail
	tailsMany  = 48 << 20 // from here on all tails of a node are much, and one has
	tailModest = 16 << 10 // no more than this;
	tailsMost  = 64 << 20 // from here on they are too much, and one has nothing

	latestMost = 16 << 20

	archiveBytes = 32 << 20
	archiveAge   = 5 * time.Second
)

// add keeps a page, and for that lets go of the oldest ones.
func (s *Store) add(p *page) {
	if p.weight > archiveBytes {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.archived+p.weight > archiveBytes {
		s.dropOldest()
	}
	if s.pages == nil {
		s.pages = make(map[any][]*page)
	}
	s.pages[p.of] = append(s.pages[p.of], p)
	s.order = append(s.order, p)
	s.archived += p.weight
}

// find returns a page that has what comes after a timeline's cursor, or nil.
func (s *Store) find(t any, cursor broker.Position) *page {
	s.mu.Lock()
	defer s.mu.Unlock()
	pages := s.pages[t]
	if i := slices.IndexFunc(pages, func(p *page) bool { return p.follows(cursor) }); i >= 0 {
		return pages[i]
	}
	return nil
}

// forget lets go of a timeline's pages.
func (s *Store) forget(t any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pages[t] {
		s.archived -= p.weight
	}
	delete(s.pages, t)
	s.order = slices.DeleteFunc(s.order, func(p *page) bool { return p.of == t })
}

// Sweep lets go of what was read too long ago. It is to be called every second.
func (s *Store) Sweep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.order) > 0 && now.Sub(s.order[0].read) >= archiveAge {
		s.dropOldest()
	}
}

func (s *Store) dropOldest() {
	oldest := s.order[0]
	s.order[0] = nil
	s.order = s.order[1:]
	s.archived -= oldest.weight
	left := slices.DeleteFunc(s.pages[oldest.of], func(p *page) bool { return p == oldest })
	if len(left) > 0 {
		s.pages[oldest.of] = left
	} else {
		delete(s.pages, oldest.of)
	}
}

// share returns how much one tail may weigh.
func (s *Store) share() int {
	switch all := s.tails.Load(); {
	case all > tailsMost:
		return 0
	case all > tailsMany:
		return tailModest
	}
	return tailBytes
}
