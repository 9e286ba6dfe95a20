package timeline

import (
	"time"

	"tidegate/broker"
)

// repair is the state of closing a gap. While it is open, live messages that do not
// follow are skipped: what is read brings them.
type repair struct {
	open  bool
	again bool            // something may have been missed after the last read had begun
	seen  broker.Position // of a message that came and did not follow
	asked broker.Position // what seen was when the last read began
	from  broker.Position // what the last read was to follow
	look  uint64
	stale bool // what was read is older than what the audience has
	vain  int  // reads that have not shown what there must be
}

// readsInVain is how many there are before what they look for counts as lost.
const readsInVain = 8

// note keeps what has been seen. What is late, of an epoch that was left, must not
// take the place of what is new.
func (r *repair) note(at, left broker.Position) {
	if r.seen.IsZero() || at.Epoch != left.Epoch {
		r.seen = at
	}
}

// Suspect says that messages may be missing after At. It reports whether a repair
// begins so; else the one under way looks once more.
func (t *Timeline) Suspect() (begins bool) {
	if t.repair.open {
		t.repair.again = true
		return false
	}
	t.repair = repair{open: true}
	return true
}

// Ask begins a read of a repair, and returns the position after which to read, and
// how much at most.
func (t *Timeline) Ask(now time.Time) (after broker.Position, most broker.Most) {
	r := &t.repair
	r.again, r.asked, r.from = false, r.seen, t.at
	r.look = t.BeginLook(now)
	return t.at, broker.Most{Messages: pageMessages, Bytes: pageBytes}
}

// Merge takes what was read. The audience is then to be given those of the page's
// messages that Follow. It reports whether something before them is lost, which is
// to be told first.
func (t *Timeline) Merge(page broker.Page) (lost bool) {
	r := &t.repair
	r.stale = t.isStale(page.Top)
	first := page.Top.Offset + 1
	if len(page.Messages) > 0 {
		first = page.Messages[0].Position.Offset
	}
	switch {
	case r.stale && r.vain < readsInVain:
		return false
	case r.stale:
		r.stale = false
		t.jump(t.whereLeft(page.Top), page)
		return true
	case page.Top.Epoch == t.at.Epoch && first <= t.at.Offset+1:
		return false
	case t.at.Agrees(page.Top):
		t.at = page.Top
		return false
	}
	lost = first > 1 || !t.at.Agrees(page.Former)
	t.jump(broker.Position{Epoch: page.Top.Epoch, Offset: first - 1}, page)
	return lost
}

// isStale reports whether a top comes from a history that knows less than the
// audience: of a server that was the master once, or that has forgotten.
func (t *Timeline) isStale(top broker.Position) bool {
	behind := top.Epoch == t.repair.from.Epoch && top.Offset < t.repair.from.Offset
	return behind || !t.left.IsZero() && top.Epoch == t.left.Epoch || top.Agrees(t.left)
}

// whereLeft returns where to go on in a history that has gone back: nothing is given
// twice.
func (t *Timeline) whereLeft(top broker.Position) broker.Position {
	if top.Epoch == t.left.Epoch {
		top.Offset = min(top.Offset, t.left.Offset)
	}
	return top
}

// jump moves to a position that does not follow.
func (t *Timeline) jump(to broker.Position, page broker.Page) {
	t.tail.clear(t.store)
	r := &t.repair
	if to.Epoch != t.at.Epoch {
		t.left, t.former = t.at, page.Former
		if r.seen == r.asked && r.seen.Epoch != to.Epoch {
			r.seen = broker.Position{} // it is lost with its epoch: to look for it would lead back
		}
	}
	t.at = to
}

// Follow moves on to a message that was read, and reports whether it is the next,
// for the audience to be given.
func (t *Timeline) Follow(e *Entry, now time.Time) bool {
	if !t.precedes(e.Message.Position) {
		return false
	}
	t.advance(e, now)
	return true
}

// Outcome says how a repair goes on after a page was merged and followed.
type Outcome uint8

const (
	ReadOn    Outcome = iota // there is more to be read
	ReadLater                // the history does not have what it must have: read again in a while
	Repaired                 // nothing is missing any more
	Lost                     // something that was seen is lost, which is to be told; the rest is there
)

// Conclude says what comes next. By Repaired and Lost the repair has ended.
func (t *Timeline) Conclude(page broker.Page) Outcome {
	r := &t.repair
	outcome, found := Repaired, t.found(r.seen)
	switch {
	case r.again, !r.stale && t.at.Offset < page.Top.Offset, !found && r.seen != r.asked:
		return ReadOn
	case r.stale, !found:
		if r.vain++; r.vain <= readsInVain {
			return ReadLater
		}
		outcome = Lost
		if r.seen.Epoch == t.at.Epoch {
			t.at = r.seen
			t.tail.clear(t.store)
		}
	}
	t.settled = r.look
	t.repair = repair{}
	return outcome
}

// found reports whether what was seen is nothing that is missing. Of an epoch that
// was left the audience was told that something may be.
func (t *Timeline) found(seen broker.Position) bool {
	return seen.IsZero() || t.covers(seen) || seen.Epoch == t.left.Epoch
}

// Abandon ends a repair that nobody needs any more.
func (t *Timeline) Abandon() { t.repair = repair{} }
