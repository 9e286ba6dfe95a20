package timeline

import (
	"time"

	"tidegate/broker"
)

// page is a run of one channel's history, and where it was asked for. Its offsets
// have no holes. It is guarded by what guards the timeline.
type page struct {
	of      any             // the timeline
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

// A page is what is read at once where there is much to read.
const (
	pageMessages = 256
	pageBytes    = 1 << 20
)
