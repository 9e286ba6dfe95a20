package timeline

import (
	"slices"
	"sync/atomic"
	"time"

	"tidegate/broker"
	"tidegate/broker/lock"
)

// Store is shared by all timelines of a node. It bounds the memory of all tails and of all
// Latest messages, and it holds the archive. The zero value is ready to use. All methods
// are safe for concurrent use.
//
// The archive caches pages of history that do not fit into a channel's tail, for a few
// seconds. When many clients resume at once and need the same pages, each page is read once.
// While the tails are full these may be thousands of small pages, each of another channel.
type Store struct {
	tails  atomic.Int64 // weight of all tails
	latest atomic.Int64 // weight of all Latest messages

	// Guarded by mu.
	mu       lock.Mutex[lock.Archive]
	archived int                   // weight of all pages
	pages    map[*Timeline][]*page // by timeline, in the order in which they were read
	order    []*page               // all pages, in the order in which they were read
}

// MostBytes is the most that a Store holds, in bytes. It does not count the messages of one
// page.
const MostBytes = tailsMost + latestMost + archiveBytes

const (
	tailBytes  = 2 << 20  // the most of one tail
	tailsMany  = 48 << 20 // above this weight of all tails, a tail may hold only
	tailModest = 16 << 10 // this much, and
	tailsMost  = 64 << 20 // above this one it may hold nothing

	latestMost = 16 << 20

	archiveBytes = 32 << 20
	archiveAge   = 5 * time.Second
)

// add puts a page into the archive and evicts the oldest pages to make room for it.
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
		s.pages = make(map[*Timeline][]*page)
	}
	s.pages[p.of] = append(s.pages[p.of], p)
	s.order = append(s.order, p)
	s.archived += p.weight
}

// find returns a page of timeline t that contains the message after the cursor, or nil.
func (s *Store) find(t *Timeline, cursor broker.Position) *page {
	s.mu.Lock()
	defer s.mu.Unlock()
	pages := s.pages[t]
	if i := slices.IndexFunc(pages, func(p *page) bool { return p.follows(cursor) }); i >= 0 {
		return pages[i]
	}
	return nil
}

// forget removes the pages of timeline t.
func (s *Store) forget(t *Timeline) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pages[t] {
		s.archived -= p.weight
	}
	delete(s.pages, t)
	s.order = slices.DeleteFunc(s.order, func(p *page) bool { return p.of == t })
}

// Sweep removes the pages that have expired. The caller calls it every second.
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

// share returns how much one tail may weigh at present.
func (s *Store) share() int {
	switch all := s.tails.Load(); {
	case all > tailsMost:
		return 0
	case all > tailsMany:
		return tailModest
	}
	return tailBytes
}
