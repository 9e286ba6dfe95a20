package gateway

import (
	"slices"
	"sync"
	"time"

	"tidegate/broker"
)

// archive holds pages of history that are too much for a channel's tail, for the
// moment in which many who resume want the same ones: each is read once. All
// methods may be called concurrently.
type archive struct {
	mu    sync.Mutex
	held  int                 // weight of all pages
	pages map[*channel][]*run // of each, the oldest reads first
	order []*run              // of reading
}

// run is a page of one channel's history, and where it was asked for. Its entries
// are guarded by the channel's mu; their offsets have no holes.
type run struct {
	channel *channel
	after   broker.Position // what was read from; if messages were lost, not where entries begin
	entries []*entry
	weight  int
	read    time.Time
}

const (
	archiveBytes = 32 << 20
	archiveAge   = 5 * time.Second
)

// newRun makes a run of what the page has up to the channel's position, which is
// not nothing. The caller holds ch.mu.
func newRun(ch *channel, page broker.Page, after broker.Position, now time.Time) *run {
	r := &run{channel: ch, after: broker.Position{Epoch: page.Top.Epoch, Offset: after.Offset}, read: now}
	for i := range page.Messages {
		m := &page.Messages[i]
		if m.Position.Offset > ch.position.Offset {
			break
		}
		r.entries = append(r.entries, &entry{message: m})
		r.weight += weightOf(m)
	}
	return r
}

// begin returns the offset of the first message.
func (r *run) begin() uint64 { return r.entries[0].message.Position.Offset }

// follows reports whether the run has what comes after the cursor.
func (r *run) follows(cursor broker.Position) bool {
	end := r.entries[len(r.entries)-1].message.Position.Offset
	return cursor.Epoch == r.after.Epoch && cursor.Offset >= r.after.Offset && cursor.Offset < end
}

// from returns the entries that come after the cursor, which the run follows.
func (r *run) from(cursor broker.Position) []*entry {
	if first := r.begin(); cursor.Offset >= first {
		return r.entries[cursor.Offset+1-first:]
	}
	return r.entries
}

// add keeps a run, and for that lets go of the oldest ones.
func (a *archive) add(r *run) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.order) > 0 && a.held+r.weight > archiveBytes {
		a.dropOldest()
	}
	if a.pages == nil {
		a.pages = make(map[*channel][]*run)
	}
	a.pages[r.channel] = append(a.pages[r.channel], r)
	a.order = append(a.order, r)
	a.held += r.weight
}

// find returns a run that has what comes after the channel's cursor, or nil.
func (a *archive) find(ch *channel, cursor broker.Position) *run {
	a.mu.Lock()
	defer a.mu.Unlock()
	runs := a.pages[ch]
	if i := slices.IndexFunc(runs, func(r *run) bool { return r.follows(cursor) }); i >= 0 {
		return runs[i]
	}
	return nil
}

// forget lets go of a channel's pages.
func (a *archive) forget(ch *channel) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.pages[ch] {
		a.held -= r.weight
	}
	delete(a.pages, ch)
	a.order = slices.DeleteFunc(a.order, func(r *run) bool { return r.channel == ch })
}

// sweep lets go of what was read too long ago.
func (a *archive) sweep(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.order) > 0 && now.Sub(a.order[0].read) >= archiveAge {
		a.dropOldest()
	}
}

func (a *archive) dropOldest() {
	oldest := a.order[0]
	a.order[0] = nil
	a.order = a.order[1:]
	a.held -= oldest.weight
	rest := slices.DeleteFunc(a.pages[oldest.channel], func(r *run) bool { return r == oldest })
	if len(rest) > 0 {
		a.pages[oldest.channel] = rest
	} else {
		delete(a.pages, oldest.channel)
	}
}
