// Package timeline is what a node knows of one channel's history: how far its
// audience is, what it has missed, and what a client gets that comes with a cursor.
//
// It decides and remembers; it does nothing. There is no goroutine and no I/O in it,
// and a Timeline has no lock: its caller holds one over each call. What is to be read
// from the history the caller reads, and hands in:
//
//	live message      Next   ──> Deliver, Skip, or Gap: a repair begins
//	repair            Ask ──> the caller reads ──> Merge, Follow…, Conclude ──> again, or over
//	client, cursor    Resume ──> Step: Give, or what is to be done before ──> Step …
//
// What is promised to clients stands in package gateway, promise.go.
package timeline

import (
	"time"

	"tidegate/broker"
)

// Timeline is one channel's. What its audience has been given is everything up to
// At: a message that does not follow it is a repetition, or shows that something was
// missed.
type Timeline struct {
	store    *Store
	at       broker.Position // of the last message given; zero: not known
	left     broker.Position // where the audience left the epoch that it was in before
	former   broker.Position // where the history left the epoch before that of at
	origin   broker.Position // the position of nothing from which the epoch of former began; zero: not known
	cleared  broker.Position // messages up to here are in the history no more
	unkept   uint64          // messages that came and are in no history: nothing brings them again
	tail     tail
	repair   repair
	begun    uint64    // looks at the history, by number
	settled  uint64    // the last of them that at takes account of
	lookedAt time.Time // when the last one began
}

// New returns the timeline of a channel of which nothing is known.
func New(store *Store) Timeline { return Timeline{store: store} }

// At returns the position of the last message that the audience was given; zero: it
// is not known.
func (t *Timeline) At() broker.Position { return t.at }

// Verdict says what to do with a live message.
type Verdict uint8

const (
	Deliver Verdict = iota // it is the next: give it to the audience
	Skip                   // the audience has it, or the repair under way brings it
	Gap                    // something before it is missing: a repair has begun, see Ask
)

// Next takes a live message that has a position.
func (t *Timeline) Next(e *Entry, now time.Time) Verdict {
	at := e.Message.Position
	switch {
	case t.at.IsZero() || t.precedes(at):
		t.advance(e, now)
		return Deliver
	case t.covers(at), t.isPast(at) && (t.repair.open || now.Sub(t.lookedAt) < lookEvery):
		return Skip // of a former epoch: the history is not there, as was just seen, or is about to be
	case t.repair.open:
		t.repair.seen = at
		return Skip
	default:
		t.repair = repair{open: true, seen: at}
		return Gap
	}
}

// precedes reports whether at is the position after the timeline's. The first message
// of a channel begins an epoch.
func (t *Timeline) precedes(at broker.Position) bool {
	if t.at.Unborn() {
		return at.Offset == 1
	}
	return at.Epoch == t.at.Epoch && at.Offset == t.at.Offset+1
}

// covers reports whether a position is known and reached.
func (t *Timeline) covers(at broker.Position) bool {
	return at.Epoch == t.at.Epoch && at.Offset <= t.at.Offset
}

// isPast reports whether a position is of an epoch that is known to be over: the one
// that the audience was in before, or the one before that in the history.
func (t *Timeline) isPast(at broker.Position) bool {
	return !at.IsZero() && (at.Epoch == t.left.Epoch || at.Epoch == t.former.Epoch || at.Agrees(t.left) || at.Agrees(t.former))
}

func (t *Timeline) advance(e *Entry, now time.Time) {
	if t.at.Unborn() {
		t.left, t.former = t.at, t.at
	}
	t.at = e.Message.Position
	if t.at.Epoch == t.cleared.Epoch && t.at.Offset <= t.cleared.Offset {
		t.tail.clear(t.store) // it was on its way when the history was cleared
		return
	}
	t.tail.append(e, now, t.store)
}

// NoteUnkept is for a live message that has no position: nothing brings it again.
func (t *Timeline) NoteUnkept() { t.unkept++ }

// Missed is for messages that may have been lost on the way from the broker. It
// reports whether some may be lost that are in no history, which is to be told; the
// rest is for a repair (see Suspect).
func (t *Timeline) Missed() (untold bool) {
	if t.unkept > 0 {
		t.unkept++ // so that who is on its way is told, too
	}
	return t.unkept > 0 || t.at.IsZero()
}

// BeginLook is to be called before the history is asked where it is. It returns the
// look's number, for Locate.
func (t *Timeline) BeginLook(now time.Time) (look uint64) {
	t.begun++
	t.lookedAt = now
	return t.begun
}

// Locate notes where a look has found the history. Where a message has told it
// already, nothing changes: what lies between is on its way. It reports whether the
// audience begins there: to those who came before, earlier messages may be missing.
func (t *Timeline) Locate(top broker.Top, look uint64) (begins bool) {
	if t.at.IsZero() {
		t.at, begins = top.Position, true
		t.tail.clear(t.store)
	}
	if t.at.Epoch == top.Epoch {
		t.former = top.Former
	}
	if t.covers(top.Position) {
		t.settled = max(t.settled, look)
	}
	return begins
}

// Resting reports whether the history may have what the timeline has not, without
// any sign of it: where a channel is quiet, the last message may be what was missed.
// It also lets go of what was kept for too long.
func (t *Timeline) Resting(now time.Time) bool {
	t.tail.trim(now, t.store)
	return !t.at.IsZero() && !t.repair.open
}

// Differs reports whether a repair is due, since the timeline is still where it
// was before the history was asked for its top, but the history is not. Nothing stays
// nothing, though its position moves on with time.
func (t *Timeline) Differs(before, top broker.Position) bool {
	if t.at == before && before.Agrees(top) {
		t.at = top
	}
	return t.at == before && top != before
}

// Forget is for a channel whose messages do not come any more.
func (t *Timeline) Forget() {
	if !t.repair.open {
		t.at = broker.Position{}
		t.tail.clear(t.store)
	}
}

// Clear is for a channel whose history was cleared up to a position.
func (t *Timeline) Clear(upTo broker.Position) {
	t.cleared = upTo
	t.tail.clear(t.store)
	t.store.forget(t)
}

// Close is for a channel that has ended: nothing is kept any more.
func (t *Timeline) Close() { t.tail.close(t.store) }

// lookEvery is how often clients may have the history looked at, however many
// cursors there are that this node does not know.
const lookEvery = time.Second

// repair is the state of closing a gap. While it is open, live messages that do not
// follow are skipped: what is read brings them.
type repair struct {
	open  bool
	again bool            // something may have been missed after the last read had begun
	seen  broker.Position // of a message that came and did not follow
	asked broker.Position // what seen was when the last read began
	from  broker.Position // what the last read was to follow
	look  uint64
	stale int // reads in a row that have shown less than the audience has
	vain  int // reads in a row that have not shown what was seen
}
