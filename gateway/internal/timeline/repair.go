package timeline

import (
	"time"

	"tidegate/broker"
)

// readsInVain is how many there are before what they look for counts as lost.
const readsInVain = 8

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

// isStale reports whether a top comes from a history that knows less than the
// audience: of a server that was the master once, or that has forgotten.
func (t *Timeline) isStale(top broker.Position) bool {
	behind := top.Epoch == t.repair.from.Epoch && top.Offset < t.repair.from.Offset
	return behind || t.isPast(top)
}

// whereLeft returns where to go on in a history that has gone back: nothing is given
// twice.
func (t *Timeline) whereLeft(top broker.Position) broker.Position {
	switch top.Epoch {
	case t.left.Epoch:
		top.Offset = min(top.Offset, t.left.Offset)
	case t.former.Epoch:
		top.Offset = min(top.Offset, t.former.Offset)
	}
	return top
}

// jump moves to a position that does not follow.
func (t *Timeline) jump(to broker.Position, page broker.Page) {
	t.tail.clear(t.store)
	r := &t.repair
	if to.Epoch != t.at.Epoch {
		t.origin = t.originOf(page.Former)
		t.left, t.former = t.at, page.Former
		if r.seen == r.asked && r.seen.Epoch != to.Epoch {
			r.seen = broker.Position{} // it is lost with its epoch: to look for it would lead back
		}
	}
	t.at = to
}

// originOf returns the position of nothing from which the epoch of a position began: the
// history remembers that of its present epoch alone.
func (t *Timeline) originOf(former broker.Position) (nothing broker.Position) {
	if former.Epoch == t.at.Epoch && t.former.Unborn() {
		return t.former
	}
	return nothing
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

// giveUp goes on after what was seen and is nowhere.
func (t *Timeline) giveUp(seen broker.Position) {
	if seen.Epoch == t.at.Epoch {
		t.at = seen
		t.tail.clear(t.store)
	}
}

// found reports whether what was seen is nothing to look for. Of the epochs before
// this one the history has it under the same offset, or it was told that it has not.
func (t *Timeline) found(seen broker.Position) bool {
	return seen.IsZero() || t.covers(seen) || t.isPast(seen)
}

// Abandon ends a repair that nobody needs any more.
func (t *Timeline) Abandon() { t.repair = repair{} }
