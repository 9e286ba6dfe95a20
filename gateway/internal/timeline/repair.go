package timeline

import (
	"time"

	"tidegate/broker"
)

// readsInVain is the number of reads that may fail to find a message before it counts as lost.
const readsInVain = 8

// Suspect says that messages after At may be missing. It reports whether that begins a
// repair; if one is under way, that one reads once more.
func (t *Timeline) Suspect() (begins bool) {
	if t.repair.open {
		t.repair.again = true
		return false
	}
	t.repair = repair{open: true}
	return true
}

// Ask begins a read of the repair. It returns the position to read after and the most to read.
func (t *Timeline) Ask(now time.Time) (after broker.Position, most broker.Most) {
	r := &t.repair
	r.again, r.asked, r.from = false, r.seen, t.at
	r.look = t.BeginLook(now)
	return t.at, broker.Most{Messages: pageMessages, Bytes: pageBytes}
}

// Merge takes the page that was read. The caller then gives the audience those messages of
// the page for which Follow returns true. Merge reports whether messages before them are
// lost, so that the audience must be told first.
func (t *Timeline) Merge(page broker.Page) (lost bool) {
	r := &t.repair
	stale := t.isStale(page.Top)
	first := page.Top.Offset + 1
	if len(page.Messages) > 0 {
		first = page.Messages[0].Position.Offset
	}
	if stale && r.stale < readsInVain {
		r.stale++
		return false
	}
	r.stale = 0
	switch {
	case stale:
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

// isStale reports whether a top comes from a history that knows less than the audience: its
// server is a former master, or has lost data.
func (t *Timeline) isStale(top broker.Position) bool {
	behind := top.Epoch == t.repair.from.Epoch && top.Offset < t.repair.from.Offset
	return behind || t.isPast(top)
}

// whereLeft returns where to go on in a history that has gone back, so that no
// message is given twice.
func (t *Timeline) whereLeft(top broker.Position) broker.Position {
	switch top.Epoch {
	case t.left.Epoch:
		top.Offset = min(top.Offset, t.left.Offset)
	case t.former.Epoch:
		top.Offset = min(top.Offset, t.former.Offset)
	}
	return top
}

// jump moves to a position that does not follow the current one.
func (t *Timeline) jump(to broker.Position, page broker.Page) {
	t.tail.clear(t.store)
	r := &t.repair
	if to.Epoch != t.at.Epoch {
		t.origin = t.originOf(page.Former)
		t.left, t.former = t.at, page.Former
		if r.seen == r.asked && r.seen.Epoch != to.Epoch {
			r.seen = broker.Position{} // it was lost with its epoch; looking for it would lead back there
		}
	}
	t.at = to
}

// originOf returns the unborn position from which the epoch of former began, or the zero
// Position. The history itself remembers only that of its current epoch.
func (t *Timeline) originOf(former broker.Position) (nothing broker.Position) {
	if former.Epoch == t.at.Epoch && t.former.Unborn() {
		return t.former
	}
	return nothing
}

// Follow advances to a message that was read and reports whether it is the next one, which
// the caller then gives to the audience. Otherwise it does nothing.
func (t *Timeline) Follow(e *Entry, now time.Time) bool {
	if !t.precedes(e.Message.Position) {
		return false
	}
	t.advance(e, now)
	return true
}

// Outcome says how a repair goes on after Merge and Follow.
type Outcome uint8

const (
	ReadOn    Outcome = iota // there is more: read again now
	ReadLater                // the history lacks what it should have: read again in a while
	Repaired                 // nothing is missing any more
	Lost                     // a message that was seen is lost: tell the audience; all others have arrived
)

// Conclude returns how the repair goes on. With Repaired and Lost it has ended.
func (t *Timeline) Conclude(page broker.Page) Outcome {
	r := &t.repair
	outcome, found, brought := Repaired, t.found(r.seen), t.at != r.from
	switch {
	case r.stale > 0:
		return ReadLater
	case r.again, t.at.Offset < page.Top.Offset, !found && brought && r.seen != r.asked:
		r.vain = 0
		return ReadOn
	case !found && r.vain < readsInVain:
		r.vain++
		return ReadLater
	case !found:
		t.giveUp(r.seen)
		outcome = Lost
	}
	t.settled = r.look
	t.repair = repair{}
	return outcome
}

// giveUp skips past a message that was seen but that no read has found.
func (t *Timeline) giveUp(seen broker.Position) {
	if seen.Epoch == t.at.Epoch {
		t.at = seen
		t.tail.clear(t.store)
	}
}

// found reports whether there is no need to look for seen any more: it is zero, has been
// reached, or belongs to a past epoch. In that case the history has it under the same
// offset, or the audience has been told that it is lost.
func (t *Timeline) found(seen broker.Position) bool {
	return seen.IsZero() || t.covers(seen) || t.isPast(seen)
}

// Abandon ends a repair whose result nobody needs any more.
func (t *Timeline) Abandon() { t.repair = repair{} }
