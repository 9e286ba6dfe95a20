package timeline

import (
	"time"

	"tidegate/broker"
)

// Reader is a client that is catching up from its cursor to the present.
type Reader struct {
	cursor  broker.Position // position of the last message that the client has
	recent  int             // the client has no cursor and wants this many of the last messages; 0 if it has a cursor
	ttl     time.Duration   // of the history, where recent is set; 0: for ever
	mark    uint64          // number of the latest look when the client came; only later ones count for it
	lenient bool            // messages that the history has dropped do not count as lost
	begun   bool            // a Step has given it something, or all there is
	lost    bool            // messages before the next one are lost, and the client has not been told
	told    bool            // the client was told of a loss and has been given nothing since
	unkept  uint64          // Timeline.unkept when the reader began
	asked   broker.Position // Timeline.at when the last read for this reader began
	page    *page           // the result of that read
}

// Resume returns a Reader for a client that has all messages up to the cursor.
func (t *Timeline) Resume(cursor broker.Position) *Reader {
	return &Reader{cursor: cursor, mark: t.begun}
}

// Recent returns a Reader for a client that wants the last n messages, or all if there are
// fewer. The history is gone when its newest message is as old as ttl; 0 means never. The
// node may still hold messages that the history has dropped: n and ttl keep them back.
func (t *Timeline) Recent(n int, ttl time.Duration) *Reader {
	return &Reader{recent: n, ttl: ttl, lenient: true}
}

// Take records that the client was given the next entry of a Step.
func (r *Reader) Take(e *Entry) { r.cursor, r.told = e.Message.Position, false }

// Pass records that the next entry was skipped, because the client does not want it.
func (r *Reader) Pass(e *Entry) { r.cursor = e.Message.Position }

// Step says what comes next for a Reader.
type Step struct {
	Do Do

	// Set for Give.
	Entries []*Entry        // with contiguous offsets; give and Take each of them, as far as there is room
	After   broker.Position // what was published after this position follows, beginning with the entries
	Lost    bool            // messages before the entries are lost: tell the client first
	Present bool            // after the last entry the client is up to date: see Arrive

	// Set for Pause: how long.
	Wait time.Duration
}

// Do is what the caller does before it calls Step again.
type Do uint8

const (
	Give  Do = iota // give the entries to the client
	Await           // wait for the repair under way to end
	Look            // begin a repair: the cursor may be of an epoch or offset that this node has not seen
	Pause           // wait for Step.Wait: a Look is needed, but the last one was only a moment ago
	Read            // read what follows the cursor: see AskFor and Keep
)

// Step returns what comes next for r.
func (t *Timeline) Step(r *Reader, now time.Time) Step {
	if r.recent > 0 {
		r.cursor, r.recent = t.back(r, now), 0
	}
	begin := broker.Position{Epoch: r.cursor.Epoch}
	if begin.Agrees(t.at) || begin.Agrees(t.former) { // the cursor is from before the first message
		r.cursor.Epoch = t.at.Epoch // count on in this epoch: the client need not have heard its name
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
		return Step{Do: Await} // a read now might return another epoch
	}
	return Step{Do: Read}
}

// back returns the position before the recent messages that r wants.
func (t *Timeline) back(r *Reader, now time.Time) broker.Position {
	if r.ttl > 0 && t.tail.age(now) >= r.ttl {
		t.tail.clear(t.store) // only the history can tell what it still has
	}
	return broker.Position{Epoch: t.at.Epoch, Offset: t.at.Offset - min(uint64(r.recent), t.at.Offset)}
}

// lookFor returns how to find out about a cursor that this node does not know. It returns
// Give if a look has already taken place since the client came.
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

// afterLoss returns the position from which to serve a client whose cursor is lost: from the
// beginning of the epoch, without the messages that the client has from the former epoch.
func (t *Timeline) afterLoss(cursor broker.Position) broker.Position {
	begin, nothing := broker.Position{Epoch: t.at.Epoch}, broker.Position{Epoch: cursor.Epoch}
	if cursor.Epoch == t.former.Epoch || nothing.Agrees(t.origin) {
		begin.Offset = min(cursor.Offset, t.former.Offset, t.at.Offset)
	}
	return begin
}

// pageFor returns a page with the message after the reader's cursor, or nil. It prefers the
// page just read for this reader, which the archive may have had no room for.
func (t *Timeline) pageFor(r *Reader) *page {
	own := r.page
	r.page = nil
	if own != nil && own.follows(r.cursor) {
		return own
	}
	return t.store.find(t, r.cursor)
}

// give returns the Step that gives entries. It reports each loss once.
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

// Arrive is called when a reader is up to date: from now on it belongs to the audience. It reports
// whether messages may have passed it by that are in no history, so that the client must be told.
func (t *Timeline) Arrive(r *Reader) (missed bool) { return r.unkept != t.unkept }

// AskFor begins a read for r. It returns the position to read after and the most to read:
// up to the beginning of the tail if the tail may have room for that, else one page.
func (t *Timeline) AskFor(r *Reader) (after broker.Position, most broker.Most) {
	r.asked = t.at
	most = broker.Most{Messages: pageMessages, Bytes: pageBytes}
	missing := t.tail.begin(t.at.Offset) - 1 - min(r.cursor.Offset, t.at.Offset)
	if room := uint64(tailEntries - len(t.tail.entries)); missing <= room {
		most.Messages = max(int(missing), pageMessages)
	}
	return r.cursor, most
}

// Keep stores what was read for r: in the tail, or in the archive if the tail has no room.
// Other readers find it there. Keep reports whether a repair is due, because the history
// has another epoch than this node knows, or an older top.
func (t *Timeline) Keep(r *Reader, read broker.Page, now time.Time) (suspect bool) {
	stale := read.Top.Epoch == r.asked.Epoch && read.Top.Offset < r.asked.Offset
	switch {
	case stale, read.Top.Epoch != t.at.Epoch:
		return true
	case r.cursor.Epoch != t.at.Epoch: // the epoch has just changed, so the page does not begin at the cursor
	case !t.extendTail(read, r.cursor, now):
		r.page = t.newPage(read, r.cursor, now)
		t.store.add(r.page)
	}
	return false
}

// extendTail puts a page in front of the tail if the page reaches it and there is room. It
// reports whether nothing is left to store; if it returns false, the page has messages. A
// page without messages older than the tail proves that there are none only if the cursor
// lay before the tail.
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

// newPage returns a page of the messages read up to the timeline's position. There is at
// least one such message.
func (t *Timeline) newPage(read broker.Page, cursor broker.Position, now time.Time) *page {
	messages := read.Messages
	for messages[len(messages)-1].Position.Offset > t.at.Offset {
		messages = messages[:len(messages)-1]
	}
	entries, weight := entriesOf(messages)
	return &page{of: t, after: cursor, entries: entries, weight: weight, read: now}
}
