package timeline

import (
	"time"

	"tidegate/broker"
)

// page is a run of one channel's history with contiguous offsets. The lock that guards the
// timeline guards its pages, too.
type page struct {
	of      *Timeline
	after   broker.Position // the position the read started from; if messages were lost, entries begin later
	entries []*Entry
	weight  int
	read    time.Time
}

// follows reports whether the page contains the message that follows the cursor.
func (p *page) follows(cursor broker.Position) bool {
	end := p.entries[len(p.entries)-1].offset()
	return cursor.Epoch == p.after.Epoch && cursor.Offset >= p.after.Offset && cursor.Offset < end
}

// from returns the entries after the cursor. The caller has checked that the page follows it.
func (p *page) from(cursor broker.Position) []*Entry {
	if first := p.entries[0].offset(); cursor.Offset >= first {
		return p.entries[cursor.Offset+1-first:]
	}
	return p.entries
}

// Bounds of one read of the history.
const (
	pageMessages = 256
	pageBytes    = 1 << 20
)
