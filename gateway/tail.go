package gateway

import (
	"sync/atomic"
	"time"

	"tidegate/broker"
)

// entry is a message on its way to a channel's audience, and the frames that it
// has been encoded to. It is guarded by the channel's mu.
type entry struct {
	message  *broker.Message
	received time.Time // of a sampled message; else zero
	frames   []encoded
}

type encoded struct {
	dialect *dialect
	frame   []byte
}

// frame returns the message as d says it, encoding it once for all. A nil frame
// means that d does not say it.
func (e *entry) frame(d *dialect) ([]byte, error) {
	for i := range e.frames {
		if e.frames[i].dialect == d {
			return e.frames[i].frame, nil
		}
	}
	frame, err := d.encode(Message{e.message})
	if err != nil {
		return nil, err
	}
	e.frames = append(e.frames, encoded{d, frame.Data})
	return frame.Data, nil
}

// tail is the end of a channel's history, kept for a short time so that the many
// who resume at once cost one read. Its entries are contiguous and end at the
// channel's position.
type tail struct {
	entries  []kept
	weight   int
	complete bool // nothing older is in the history
	closed   bool // nothing is kept any more
}

// tails bounds what all tails of a node hold together. It is safe for concurrent
// use.
type tails struct{ weight atomic.Int64 }

type kept struct {
	*entry
	until time.Time
}

const (
	tailEntries = 1024
	tailAge     = 30 * time.Second
	tailBytes   = 2 << 20
	tailsBytes  = 64 << 20 // from here on the tails of all channels together are too much:
	tailAtLeast = 16 << 10 // then one has no more than this
)

// weightOf is about how many bytes a kept message takes: itself, and the frame
// that one protocol makes of it.
func weightOf(m *broker.Message) int { return 2*len(m.Payload) + 512 }

// share returns how much one tail may weigh.
func (all *tails) share() int {
	if all.weight.Load() > tailsBytes {
		return tailAtLeast
	}
	return tailBytes
}

func (t *tail) add(weight int, all *tails) {
	t.weight += weight
	all.weight.Add(int64(weight))
}

func (t *tail) append(e *entry, now time.Time, all *tails) {
	if t.closed {
		return
	}
	t.entries = append(t.entries, kept{e, now.Add(tailAge)})
	t.add(weightOf(e.message), all)
	t.trim(now, all)
}

// clear forgets everything.
func (t *tail) clear(all *tails) {
	t.add(-t.weight, all)
	*t = tail{closed: t.closed}
}

// close is clear for the last time.
func (t *tail) close(all *tails) {
	t.clear(all)
	t.closed = true
}

// trim forgets what is too old or too much.
func (t *tail) trim(now time.Time, all *tails) {
	n, share := 0, all.share()
	for n < len(t.entries) && (t.weight > share || len(t.entries)-n > tailEntries || now.After(t.entries[n].until)) {
		t.add(-weightOf(t.entries[n].message), all)
		t.entries[n] = kept{}
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

// prepend puts older messages, which end where the tail begins, before it. It
// reports whether there was room for them.
func (t *tail) prepend(older []broker.Message, now time.Time, all *tails) bool {
	weight := 0
	for i := range older {
		weight += weightOf(&older[i])
	}
	if t.closed || t.weight+weight > all.share() || len(t.entries)+len(older) > tailEntries {
		return false
	}
	entries := make([]kept, 0, len(older)+len(t.entries))
	for i := range older {
		entries = append(entries, kept{&entry{message: &older[i]}, now.Add(tailAge)})
	}
	t.entries = append(entries, t.entries...)
	t.add(weight, all)
	return true
}

// begin returns the offset of the tail's first message, given the channel's
// position, where it ends.
func (t *tail) begin(position broker.Position) uint64 {
	return position.Offset + 1 - uint64(len(t.entries))
}

// after returns the entries whose offsets are larger than the given one.
func (t *tail) after(offset uint64, position broker.Position) []kept {
	begin := t.begin(position)
	if offset < begin {
		return t.entries
	}
	return t.entries[min(offset+1-begin, uint64(len(t.entries))):]
}
