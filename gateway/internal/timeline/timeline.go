// Package timeline tracks what one node knows of a channel's history: up to which position
// its subscribers have been served, what they have missed, and what a client gets that
// resumes from a cursor.
//
// A Timeline is a state machine. It starts no goroutine, does no I/O and has no lock: the
// caller must hold the channel's lock during each call, reads the history when the Timeline
// asks for it, and hands in the result:
//
//	live message      Next   ──> Deliver, Skip, or Gap: a repair begins
//	repair            Ask ──> the caller reads ──> Merge, Follow…, Conclude ──> again, or done
//	client, cursor    Resume ──> Step: Give, or something to do first ──> Step …
//
// The promise to clients is described in promise.go of package gateway.
package timeline

import (
	"time"

	"tidegate/broker"
)

// Timeline is the state of one channel on this node. The audience, which is the channel's
// subscribers on this node, has been given everything up to position At. A live message
// that does not follow At is either a duplicate or the sign that messages were missed.
type Timeline struct {
	store    *Store
	at       broker.Position // of the last message given to the audience; zero if not known
	left     broker.Position // the last position of the audience in its previous epoch
	former   broker.Position // the last position of the history in the epoch before that of at
	origin   broker.Position // the unborn position from which the epoch of former began; zero if not known
	cleared  broker.Position // messages up to here were cleared from the history
	unkept   uint64          // counts live messages without a position: no history has them, so none can be repaired
	tail     tail
	repair   repair
	begun    uint64    // number of the latest look at the history
	settled  uint64    // number of the latest look that at takes into account
	lookedAt time.Time // when the latest look began
}

// New returns the timeline of a channel whose position is not known yet.
func New(store *Store) Timeline { return Timeline{store: store} }

// At returns the position of the last message that the audience was given, or the zero
// Position if that is not known.
func (t *Timeline) At() broker.Position { return t.at }

// Verdict says what the caller does with a live message.
type Verdict uint8

const (
	Deliver Verdict = iota // it is the next one: give it to the audience
	Skip                   // the audience has it, or the repair under way will bring it
	Gap                    // a message before it is missing; a repair has begun: call Ask
)

// Next returns what to do with a live message that has a position.
func (t *Timeline) Next(e *Entry, now time.Time) Verdict {
	at := e.Message.Position
	switch {
	case t.at.IsZero() || t.precedes(at):
		t.advance(e, now)
		return Deliver
	case t.covers(at), t.isPast(at) && (t.repair.open || now.Sub(t.lookedAt) < lookEvery):
		return Skip // it is of a former epoch, whose history has just been found gone, or is about to be
	case t.repair.open:
		t.repair.seen = at
		return Skip
	default:
		t.repair = repair{open: true, seen: at}
		return Gap
	}
}

// precedes reports whether position at directly follows t.at. The first message of a
// channel begins a new epoch at offset 1.
func (t *Timeline) precedes(at broker.Position) bool {
	if t.at.Unborn() {
		return at.Offset == 1
	}
	return at.Epoch == t.at.Epoch && at.Offset == t.at.Offset+1
}

// covers reports whether position at belongs to the current epoch and has been reached.
func (t *Timeline) covers(at broker.Position) bool {
	return at.Epoch == t.at.Epoch && at.Offset <= t.at.Offset
}

// isPast reports whether a position belongs to an epoch known to have ended: the previous
// one of the audience, or the previous one of the history.
func (t *Timeline) isPast(at broker.Position) bool {
	return !at.IsZero() && (at.Epoch == t.left.Epoch || at.Epoch == t.former.Epoch || at.Agrees(t.left) || at.Agrees(t.former))
}

func (t *Timeline) advance(e *Entry, now time.Time) {
	if t.at.Unborn() {
		t.left, t.former = t.at, t.at
	}
	t.at = e.Message.Position
	if t.at.Epoch == t.cleared.Epoch && t.at.Offset <= t.cleared.Offset {
		t.tail.clear(t.store) // the message was in flight when the history was cleared
		return
	}
	t.tail.append(e, now, t.store)
}

// NoteUnkept counts a live message without a position. If such a message is lost, nothing
// can bring it back.
func (t *Timeline) NoteUnkept() { t.unkept++ }

// Missed is called when the broker may have lost messages before they reached this node. It
// reports whether some of them may be in no history, so that the audience must be told. The
// caller repairs the rest: see Suspect.
func (t *Timeline) Missed() (untold bool) {
	if t.unkept > 0 {
		t.unkept++ // tells the clients that are still resuming, too: see Arrive
	}
	return t.unkept > 0 || t.at.IsZero()
}

// BeginLook is called before the caller asks the history for its top. It returns the number
// of the look, which the caller passes to Locate.
func (t *Timeline) BeginLook(now time.Time) (look uint64) {
	t.begun++
	t.lookedAt = now
	return t.begun
}

// Locate records the top that a look has found. If live messages have already set the
// position, it stays: what lies between is on its way. Locate reports whether the audience
// begins at this position: clients that subscribed earlier may have missed messages.
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

// Resting reports whether the caller should look for messages that were missed without a
// sign: in a quiet channel, no later message shows that the last one was lost. Resting also
// drops expired entries of the tail.
func (t *Timeline) Resting(now time.Time) bool {
	t.tail.trim(now, t.store)
	return !t.at.IsZero() && !t.repair.open
}

// Differs reports whether a repair is due: the timeline is still at before, where it was
// when the caller asked for the top of the history, but the top differs. An empty history,
// whose position changes with time, counts as unchanged.
func (t *Timeline) Differs(before, top broker.Position) bool {
	if t.at == before && before.Agrees(top) {
		t.at = top
	}
	return t.at == before && top != before
}

// Forget discards the position of a channel whose messages no longer arrive. It does
// nothing during a repair.
func (t *Timeline) Forget() {
	if !t.repair.open {
		t.at = broker.Position{}
		t.tail.clear(t.store)
	}
}

// Clear drops what is buffered after the history was cleared up to a position.
func (t *Timeline) Clear(upTo broker.Position) {
	t.cleared = upTo
	t.tail.clear(t.store)
	t.store.forget(t)
}

// Close drops what is buffered and stores nothing from now on. The channel has ended.
func (t *Timeline) Close() { t.tail.close(t.store) }

// lookEvery is the shortest interval between two looks at a channel's history on behalf of
// clients with unknown cursors, however many there are.
const lookEvery = time.Second

// repair is the state of closing a gap. While it is open, live messages that do not follow
// are skipped, because the reads will bring them.
type repair struct {
	open  bool
	again bool            // messages may have been missed since the last read began
	seen  broker.Position // position of the last live message that did not follow
	asked broker.Position // the value of seen when the last read began
	from  broker.Position // the position after which the last read began
	look  uint64
	stale int // consecutive reads that returned less than the audience has
	vain  int // consecutive reads that did not return what was seen
}
