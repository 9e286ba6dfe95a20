package timeline

import (
	"time"

	"tidegate/broker"
)

// tail buffers the end of a channel's history for a short time, so that many clients who
// resume at once cost one read. Its entries are contiguous and end at the timeline's position.
type tail struct {
	entries  []*Entry
	weight   int
	complete bool // the history has nothing older than the tail
	closed   bool // the tail stores nothing any more
}

const (
	tailEntries = 1024
	tailAge     = 30 * time.Second
)

func (t *tail) add(weight int, s *Store) {
	t.weight += weight
	s.tails.Add(int64(weight))
}

func (t *tail) append(e *Entry, now time.Time, s *Store) {
	if t.closed {
		return
	}
	e.until = now.Add(tailAge).UnixNano()
	t.entries = append(t.entries, e)
	t.add(e.weight(), s)
	t.trim(now, s)
}

// clear drops all entries.
func (t *tail) clear(s *Store) {
	t.add(-t.weight, s)
	*t = tail{closed: t.closed}
}

// close drops all entries and makes append and prepend store nothing from now on.
func (t *tail) close(s *Store) {
	t.clear(s)
	t.closed = true
}

// trim drops entries that have expired or exceed the limits, oldest first.
func (t *tail) trim(now time.Time, s *Store) {
	n, nanos := 0, now.UnixNano()
	for n < len(t.entries) && (t.weight > s.share() || len(t.entries)-n > tailEntries || nanos > t.entries[n].until) {
		t.add(-t.entries[n].weight(), s)
		t.entries[n] = nil
		n++
	}
	if n == 0 {
		return
	}
	t.complete = false
	t.entries = t.entries[n:]
	if len(t.entries) == 0 {
		t.entries = nil
	}
}

// prepend puts older messages in front of the tail, which must begin right after them. It
// reports whether there was room for them.
func (t *tail) prepend(older []broker.Message, now time.Time, s *Store) bool {
	entries, weight := entriesOf(older)
	if t.closed || len(t.entries)+len(older) > tailEntries || t.weight+weight > s.share() || s.tails.Load()+int64(weight) > tailsMost {
		return false
	}
	for _, e := range entries {
		e.until = now.Add(tailAge).UnixNano()
	}
	t.entries = append(entries, t.entries...)
	t.add(weight, s)
	return true
}

func entriesOf(messages []broker.Message) (entries []*Entry, weight int) {
	entries = make([]*Entry, 0, len(messages))
	for i := range messages {
		e := &Entry{Message: messages[i]}
		entries = append(entries, e)
		weight += e.weight()
	}
	return entries, weight
}

// age returns the age of the newest entry; 0 if there is no entry. An entry that was read
// from the history is older than the read: see its Time, by the clock of another node.
func (t *tail) age(now time.Time) time.Duration {
	if len(t.entries) == 0 {
		return 0
	}
	newest := t.entries[len(t.entries)-1]
	age := tailAge - time.Duration(newest.until-now.UnixNano())
	if published := newest.Message.Time; !published.IsZero() {
		age = max(age, now.Sub(published))
	}
	return age
}

// begin returns the offset of the first entry, given that the tail ends at offset end.
func (t *tail) begin(end uint64) uint64 { return end + 1 - uint64(len(t.entries)) }

// after returns the entries with offsets greater than offset, given that the tail
// ends at offset end.
func (t *tail) after(offset, end uint64) []*Entry {
	begin := t.begin(end)
	if offset < begin {
		return t.entries
	}
	return t.entries[min(offset+1-begin, uint64(len(t.entries))):]
}
