package timeline

import (
	"time"

	"tidegate/broker"
)

// Reader is a client on its way from its cursor to the present.
type Reader struct {
	cursor  broker.Position // of the last message that it has
	recent  int             // it has no cursor, and wants so many of the last messages; 0: it has one
	mark    uint64          // a look with a higher number began after the client came
	lenient bool            // what the history does not have any more is no loss to it
	begun   bool            // it has been given something, or all that there is
	lost    bool            // something before the next message is gone, and that was not told
	told    bool            // that was told, and nothing given since
	unkept  uint64          // the timeline's, when the reader began
	asked   broker.Position // where the timeline was when a read for it began
	page    *page           // what was just read for it
}

// Resume returns a reader that has all up to the cursor.
func (t *Timeline) Resume(cursor broker.Position) *Reader {
	return &Reader{cursor: cursor, mark: t.begun}
}

// Recent returns a reader that wants the last n messages, or as many as there are.
func (t *Timeline) Recent(n int) *Reader {
	return &Reader{recent: n, lenient: true}
}

// Take notes that the reader is given the next entry of a Step.
func (r *Reader) Take(e *Entry) { r.cursor, r.told = e.Message.Position, false }

// Pass is Take for an entry that the client does not want.
func (r *Reader) Pass(e *Entry) { r.cursor = e.Message.Position }

// Step is what comes next on a reader's way.
type Step struct {
	Do Do

	// Of Give.
	Entries []*Entry        // with contiguous offsets; each is to be given and taken, as far as there is room
	After   broker.Position // all that was published after it follows
	Lost    bool            // something before the entries is gone, which is to be told first
	Present bool            // with the last of the entries the reader is in the present: see Arrive

	// Of Pause.
	Wait time.Duration
}

// Do says what to do before the next Step.
type Do uint8

const (
	Give  Do = iota // the entries to the reader
	Await           // the end of the repair that is under way
	Look            // a repair: the cursor may be of what this node has not heard of
	Pause           // the same, but there was a look a moment ago: in a while
	Read            // what follows the reader's cursor: see AskFor and Keep
)

// Step says what comes next.
func (t *Timeline) Step(r *Reader, now time.Time) Step {
	if r.recent > 0 {
		r.cursor, r.recent = t.back(r.recent), 0
	}
	begin := broker.Position{Epoch: r.cursor.Epoch}
	if begin.Agrees(t.at) || begin.Agrees(t.former) { // from before the first message
		r.cursor.Epoch = t.at.Epoch // of which the client may count on, if it has not heard its name
	}
	if !t.covers(r.cursor) {
		if step := t.lookFor(r, now); step.Do != Give {
			return step
		}
		r.cursor, r.lost = t.afterLoss(r.cursor), true
	}
	if t.tail.complete || r.cursor.Offset+1 >= t.tail.begin(t.at.Offset) {
		return t.give(r, t.tail.after(r.cursor.Offset, t.at.Offset), true)
	}
	if page := t.pageFor(r); page != nil {
		return t.give(r, page.from(r.cursor), false)
	}
	if t.repair.open {
		return Step{Do: Await} // what would be read may be of another epoch
	}
	return Step{Do: Read}
}

// back returns the position before the last n messages.
func (t *Timeline) back(n int) broker.Position {
	return broker.Position{Epoch: t.at.Epoch, Offset: t.at.Offset - min(uint64(n), t.at.Offset)}
}

// lookFor says how to find out about a cursor that is not known here. Give: it has
// been looked for since the client came.
func (t *Timeline) lookFor(r *Reader, now time.Time) Step {
	switch wait := t.lookedAt.Add(lookEvery).Sub(now); {
	case t.settled > r.mark:
		return Step{Do: Give}
	case t.repair.open:
		return Step{Do: Await}
	case wait > 0:
		return Step{Do: Pause, Wait: wait}
	}
	return Step{Do: Look}
}

// afterLoss returns from where on a client whose cursor is lost is given what there
// is: all of it, but for what it has from the former epoch.
func (t *Timeline) afterLoss(cursor broker.Position) broker.Position {
	begin, nothing := broker.Position{Epoch: t.at.Epoch}, broker.Position{Epoch: cursor.Epoch}
	if cursor.Epoch == t.former.Epoch || nothing.Agrees(t.origin) {
		begin.Offset = min(cursor.Offset, t.former.Offset, t.at.Offset)
	}
	return begin
}

// pageFor returns a page that has what follows the reader's cursor: the one that was
// just read, for which there may have been no room in the archive, or one of the
// archive's.
func (t *Timeline) pageFor(r *Reader) *page {
	own := r.page
	r.page = nil
	if own != nil && own.follows(r.cursor) {
		return own
	}
	return t.store.find(t, r.cursor)
}

// give returns the step that gives entries. Each loss is told once.
func (t *Timeline) give(r *Reader, entries []*Entry, present bool) Step {
	step := Step{Entries: entries, After: t.at, Present: present}
	if len(entries) > 0 {
		step.After = entries[0].Message.Position
		step.After.Offset--
	}
	hole := step.After.Offset > r.cursor.Offset && !r.lenient
	step.Lost = (r.lost || hole) && !r.told
	r.told = r.told || step.Lost
	if !r.begun {
		r.begun, r.unkept = true, t.unkept
	}
	r.lost, r.lenient = false, false
	return step
}

// Arrive is for a reader that is in the present now: from now on it is one of the
// audience. It reports whether messages may have passed it by that are in no
// history, which is to be told.
func (t *Timeline) Arrive(r *Reader) (missed bool) { return r.unkept != t.unkept }

// AskFor begins a read for a reader, and returns the position after which to read, and
// how much at most: all up to the tail, if the tail may have room for it.
func (t *Timeline) AskFor(r *Reader) (after broker.Position, most broker.Most) {
	r.asked = t.at
	most = broker.Most{Messages: pageMessages, Bytes: pageBytes}
	missing := t.tail.begin(t.at.Offset) - 1 - min(r.cursor.Offset, t.at.Offset)
	if room := uint64(tailEntries - len(t.tail.entries)); missing <= room {
		most.Messages = max(int(missing), pageMessages)
	}
	return r.cursor, most
}

// Keep takes what was read for a reader: into the tail, or, if it is too much for
// that, into the archive. There all who resume find it. It reports whether a repair is
// due, since the history has another epoch than is known here, or knows less.
func (t *Timeline) Keep(r *Reader, read broker.Page, now time.Time) (suspect bool) {
	stale := read.Top.Epoch == r.asked.Epoch && read.Top.Offset < r.asked.Offset
	switch {
	case stale, read.Top.Epoch != t.at.Epoch:
		return true
	case r.cursor.Epoch != t.at.Epoch: // the epoch has just changed, and the page begins elsewhere than at the cursor
	case !t.extendTail(read, r.cursor, now):
		r.page = t.newPage(read, r.cursor, now)
		t.store.add(r.page)
	}
	return false
}

// extendTail puts a page before the tail if it reaches up to it, and there is room.
// A page that it does not take has messages. A page without messages from before the
// tail tells that there are none only if the cursor lay before it.
func (t *Timeline) extendTail(read broker.Page, cursor broker.Position, now time.Time) bool {
	begin := t.tail.begin(t.at.Offset)
	older := read.Messages
	for len(older) > 0 && older[len(older)-1].Position.Offset >= begin {
		older = older[:len(older)-1]
	}
	if len(older) > 0 && older[len(older)-1].Position.Offset+1 != begin {
		return false
	}
	if len(older) > 0 && !t.tail.prepend(older, now, t.store) {
		return false
	}
	none := len(older) == 0 && cursor.Offset+1 < begin
	t.tail.complete = t.tail.complete || read.Lost || cursor.Offset == 0 || none
	return true
}

// newPage makes a page of what was read up to the timeline's position, which is not
// nothing.
func (t *Timeline) newPage(read broker.Page, cursor broker.Position, now time.Time) *page {
	messages := read.Messages
	for messages[len(messages)-1].Position.Offset > t.at.Offset {
		messages = messages[:len(messages)-1]
	}
	entries, weight := entriesOf(messages)
	return &page{of: t, after: cursor, entries: entries, weight: weight, read: now}
}
