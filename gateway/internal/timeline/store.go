package timeline

import (
	"slices"
	"sync/atomic"
	"time"

	"tidegate/broker"
	"tidegate/broker/lock"
)

// Store is what the timelines of one node share: the bound on what their tails hold
// together, and the archive. The zero value is ready; all methods may be called
// concurrently.
//
// The archive holds pages of history that are too much for a channel's tail, for the
// moment in which many who resume want the same ones: each is read once.
type Store struct {
	tails atomic.Int64 // weight of all tails

	// Guarded by mu.
	mu       lock.Mutex[lock.Archive]
	archived int                   // weight of all pages
	pages    map[*Timeline][]*page // of each, the oldest reads first
	order    []*page               // of reading
}

// MostBytes is what a store holds at most, the messages of one page and the frames
// of further protocols apart.
const MostBytes = tailsMost + archiveBytes

const (
	archiveBytes = 32 << 20
	archiveAge   = 5 * time.Second
)

// page is a run of one channel's history, and where it was asked for. Its offsets
// have no holes. It is guarded by what guards the timeline.
type page struct {
	of      *Timeline
	after   broker.Position // what was read from; if messages were lost, not where entries begin
	entries []*Entry
	weight  int
	read    time.Time
}

// follows reports whether the page has what comes after the cursor.
func (p *page) follows(cursor broker.Position) bool {
	end := p.entries[len(p.entries)-1].offset()
	return cursor.Epoch == p.after.Epoch && cursor.Offset >= p.after.Offset && cursor.Offset < end
}

// from returns the entries that come after the cursor, which the page follows.
func (p *page) from(cursor broker.Position) []*Entry {
	if first := p.entries[0].offset(); cursor.Offset >= first {
		return p.entries[cursor.Offset+1-first:]
	}
	return p.entries
}

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
		s.pages = make(map[*Timeline][]*page)
	}
	s.pages[p.of] = append(s.pages[p.of], p)
	s.order = append(s.order, p)
	s.archived += p.weight
}

// find returns a page that has what comes after a timeline's cursor, or nil.
func (s *Store) find(t *Timeline, cursor broker.Position) *page {
	s.mu.Lock()
	defer s.mu.Unlock()
	pages := s.pages[t]
	if i := slices.IndexFunc(pages, func(p *page) bool { return p.follows(cursor) }); i >= 0 {
		return pages[i]
	}
	return nil
}

// forget lets go of a timeline's pages.
func (s *Store) forget(t *Timeline) {
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
