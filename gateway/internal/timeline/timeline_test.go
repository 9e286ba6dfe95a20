package timeline

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"testing"
	"time"

	"tidegate/broker"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func at(epoch string, offset uint64) broker.Position {
	return broker.Position{Epoch: epoch, Offset: offset}
}

func entry(position broker.Position) *Entry {
	return &Entry{Message: broker.Message{Payload: []byte("x"), Position: position}}
}

// pageOf returns a page of the messages from offset first to last.
func pageOf(epoch string, first, last, top uint64) broker.Page {
	page := broker.Page{Top: at(epoch, top)}
	for offset := first; offset <= last; offset++ {
		page.Messages = append(page.Messages, broker.Message{Position: at(epoch, offset)})
	}
	return page
}

// starting returns a timeline that is at a position.
func starting(position broker.Position) *Timeline {
	t := New(new(Store))
	look := t.BeginLook(noon)
	t.Locate(broker.Top{Position: position}, look)
	return &t
}

func (t *Timeline) followAll(page broker.Page) (followed int) {
	for _, m := range page.Messages {
		if t.Follow(&Entry{Message: m}, noon) {
			followed++
		}
	}
	return followed
}

func TestNext_Verdicts(t *testing.T) {
	for _, c := range []struct {
		name    string
		message broker.Position
		want    Verdict
		at      broker.Position
	}{
		{"the next", at("e", 6), Deliver, at("e", 6)},
		{"the last once more", at("e", 5), Skip, at("e", 5)},
		{"an old one", at("e", 1), Skip, at("e", 5)},
		{"one too far", at("e", 7), Gap, at("e", 5)},
		{"another epoch", at("f", 6), Gap, at("e", 5)},
	} {
		line := starting(at("e", 5))
		if got := line.Next(entry(c.message), noon); got != c.want || line.At() != c.at {
			t.Errorf("%s: verdict %d at %v, want %d at %v", c.name, got, line.At(), c.want, c.at)
		}
	}
}

func TestNext_FirstMessageTellsWhereItIs(t *testing.T) {
	line := New(new(Store))
	if got := line.Next(entry(at("e", 9)), noon); got != Deliver || line.At() != at("e", 9) {
		t.Errorf("verdict %d at %v", got, line.At())
	}
}

func TestNext_WhatFollowsIsDeliveredDuringARepair(t *testing.T) {
	line := starting(at("e", 5))
	line.Suspect()
	line.Ask(noon)
	if got := line.Next(entry(at("e", 6)), noon); got != Deliver {
		t.Errorf("verdict %d", got)
	}
	page := pageOf("e", 6, 7, 7)
	if line.Merge(page) || line.followAll(page) != 1 {
		t.Error("what was delivered was taken from the page once more, or is lost")
	}
	if outcome := line.Conclude(page); outcome != Repaired || line.At() != at("e", 7) {
		t.Errorf("outcome %d at %v", outcome, line.At())
	}
}

func TestLocate_WhatIsOnItsWayIsNotSkipped(t *testing.T) {
	line := New(new(Store))
	look := line.BeginLook(noon)
	line.Next(entry(at("e", 5)), noon)
	if line.Locate(broker.Top{Position: at("e", 7)}, look) || line.At() != at("e", 5) {
		t.Errorf("at %v", line.At())
	}
	if got := line.Next(entry(at("e", 6)), noon); got != Deliver {
		t.Errorf("verdict %d", got)
	}
}

// repairOnce asks, merges, follows and concludes.
func (t *Timeline) repairOnce(page broker.Page) (lost bool, outcome Outcome) {
	return t.repairAt(noon, page)
}

func (t *Timeline) repairAt(now time.Time, page broker.Page) (lost bool, outcome Outcome) {
	t.Ask(now)
	lost = t.Merge(page)
	t.followAll(page)
	return lost, t.Conclude(page)
}

func TestRepair_Outcomes(t *testing.T) {
	for _, c := range []struct {
		name    string
		page    broker.Page
		lost    bool
		outcome Outcome
		at      broker.Position
	}{
		{"all is there", pageOf("e", 6, 8, 8), false, Repaired, at("e", 8)},
		{"there is more", pageOf("e", 6, 8, 20), false, ReadOn, at("e", 8)},
		{"nothing was missing", pageOf("e", 1, 0, 5), false, Repaired, at("e", 5)},
		{"the first are gone", pageOf("e", 8, 9, 9), true, Repaired, at("e", 9)},
		{"all are gone", pageOf("e", 1, 0, 9), true, Repaired, at("e", 9)},
		{"a new epoch with all", pageOf("f", 6, 7, 7), true, Repaired, at("f", 7)},
		{"a new epoch with nothing", pageOf("f", 1, 0, 0), true, Repaired, at("f", 0)},
		{"a history that knows less", pageOf("e", 1, 3, 3), false, ReadLater, at("e", 5)},
	} {
		line := starting(at("e", 5))
		line.Suspect()
		if lost, outcome := line.repairOnce(c.page); lost != c.lost || outcome != c.outcome || line.At() != c.at {
			t.Errorf("%s: lost %v, outcome %d at %v; want %v, %d at %v", c.name, lost, outcome, line.At(), c.lost, c.outcome, c.at)
		}
	}
}

func TestRepair_LooksOnceMoreForWhatMayHaveBeenMissedMeanwhile(t *testing.T) {
	line := starting(at("e", 5))
	line.Suspect()
	line.Ask(noon)
	if line.Suspect() {
		t.Error("a second repair began")
	}
	nothing := pageOf("e", 1, 0, 5)
	line.Merge(nothing)
	if outcome := line.Conclude(nothing); outcome != ReadOn {
		t.Errorf("outcome %d", outcome)
	}
	if _, outcome := line.repairOnce(nothing); outcome != Repaired {
		t.Errorf("outcome %d", outcome)
	}
}

// inVain repairs until the outcome is something other than ReadLater.
func (t *Timeline) inVain(page broker.Page) (reads, losses int, outcome Outcome) {
	for outcome = ReadLater; outcome == ReadLater; reads++ {
		var lost bool
		if lost, outcome = t.repairOnce(page); lost {
			losses++
		}
	}
	return reads, losses, outcome
}

func TestRepair_WhatWasSeenAndIsNowhereIsLost(t *testing.T) {
	for _, seen := range []broker.Position{at("e", 7), at("unknown", 3)} {
		line := starting(at("e", 5))
		line.Next(entry(seen), noon)
		reads, losses, outcome := line.inVain(pageOf("e", 1, 0, 5))
		if reads != readsInVain+1 || losses != 0 || outcome != Lost {
			t.Errorf("seen %v: outcome %d after %d reads, %d losses", seen, outcome, reads, losses)
		}
		if got := line.Next(entry(at("e", line.At().Offset+1)), noon); got != Deliver {
			t.Errorf("seen %v: the next one's verdict is %d", seen, got)
		}
	}
}

func TestRepair_WhatIsSeenWhileItReadsIsNoReadInVain(t *testing.T) {
	line := starting(at("e", 5))
	line.Suspect()
	top := uint64(5)
	for range 3 * readsInVain {
		line.Ask(noon)
		top += 3
		line.Next(entry(at("e", top+2)), noon) // live messages are always ahead of the reads
		page := pageOf("e", top-2, top, top)
		if line.Merge(page) {
			t.Fatal("a loss is told")
		}
		line.followAll(page)
		if outcome := line.Conclude(page); outcome != ReadOn {
			t.Fatalf("outcome %d", outcome)
		}
	}
}

func TestRepair_AHistoryThatHasForgottenIsBelievedAfterAWhileAndGivesNothingTwice(t *testing.T) {
	line := starting(at("e", 5))
	line.Suspect()
	page := pageOf("e", 1, 3, 3)
	if reads, losses, outcome := line.inVain(page); reads != readsInVain+1 || losses != 1 || outcome != Repaired {
		t.Errorf("outcome %d after %d reads, %d losses", outcome, reads, losses)
	}
	if line.At() != at("e", 3) {
		t.Errorf("at %v", line.At())
	}
}

func TestRepair_AServerOfTheFormerEpochIsNotBelievedAtOnce(t *testing.T) {
	line := starting(at("e", 5))
	line.Suspect()
	line.repairOnce(pageOf("f", 1, 2, 2))
	line.Suspect()
	if lost, outcome := line.repairOnce(pageOf("e", 1, 5, 5)); lost || outcome != ReadLater || line.At() != at("f", 2) {
		t.Errorf("lost %v, outcome %d at %v", lost, outcome, line.At())
	}
	if lost, outcome := line.repairOnce(pageOf("f", 3, 3, 3)); lost || outcome != Repaired || line.At() != at("f", 3) {
		t.Errorf("lost %v, outcome %d at %v", lost, outcome, line.At())
	}
}

func TestRepair_WhoGoesBackToTheFormerEpochIsGivenNothingTwice(t *testing.T) {
	line := starting(at("e", 5))
	line.Suspect()
	line.repairOnce(pageOf("f", 1, 2, 2))
	line.Suspect()
	page := pageOf("e", 1, 7, 7)
	if _, losses, outcome := line.inVain(page); losses != 1 || outcome != Repaired || line.At() != at("e", 7) {
		t.Errorf("%d losses, outcome %d at %v", losses, outcome, line.At())
	}
	if given := fmt.Sprint(offsets(line.tail.entries)); given != "[6 7]" {
		t.Errorf("given again: %s", given)
	}
}

func TestRepair_WhatWasSeenOfALostEpochIsNotLookedForInTheNext(t *testing.T) {
	line := starting(at("e", 5))
	line.Next(entry(at("e", 7)), noon)
	if lost, outcome := line.repairOnce(pageOf("f", 1, 2, 2)); !lost || outcome != Repaired {
		t.Errorf("lost %v, outcome %d", lost, outcome)
	}
}

func TestRepair_MessagesOfNowhereAreNotLookedForAtOnceAgain(t *testing.T) {
	line := starting(at("e", 5))
	line.Next(entry(at("unknown", 1)), noon)
	for i := range uint64(readsInVain) {
		line.Ask(noon)
		line.Next(entry(at("unknown", 2+i)), noon)
		nothing := pageOf("e", 1, 0, 5)
		line.Merge(nothing)
		if outcome := line.Conclude(nothing); outcome != ReadLater {
			t.Fatalf("outcome %d of read %d", outcome, i+1)
		}
	}
	if _, outcome := line.repairOnce(pageOf("e", 1, 0, 5)); outcome != Lost {
		t.Errorf("outcome %d", outcome)
	}
}

func TestRepair_ALateMessageOfTheFormerEpochIsNoGap(t *testing.T) {
	line := starting(at("e", 5))
	line.Suspect()
	line.repairOnce(pageOf("f", 1, 2, 2))
	if got := line.Next(entry(at("e", 6)), noon); got != Skip {
		t.Fatalf("verdict %d: a look for each", got)
	}
	if got := line.Next(entry(at("e", 7)), noon.Add(lookEvery)); got != Gap {
		t.Fatalf("verdict %d: nobody looks whether the epoch is back", got)
	}
	if lost, outcome := line.repairOnce(pageOf("f", 1, 0, 2)); lost || outcome != Repaired {
		t.Errorf("lost %v, outcome %d", lost, outcome)
	}
}

func TestMissed_WhatIsInNoHistoryIsTold(t *testing.T) {
	line := starting(at("e", 5))
	if line.Missed() {
		t.Error("a loss is told where the history has all")
	}
	line.NoteUnkept()
	if !line.Missed() {
		t.Error("no loss is told where messages come that are in no history")
	}
	if nowhere := New(new(Store)); !nowhere.Missed() {
		t.Error("no loss is told where nothing is known")
	}
}

func TestDiffers_OnlyWhereNothingHasCome(t *testing.T) {
	line := starting(at("e", 5))
	before := line.At()
	for top, want := range map[broker.Position]bool{at("e", 5): false, at("e", 6): true, at("e", 4): true, at("f", 5): true} {
		if got := line.Differs(before, top); got != want {
			t.Errorf("top %v: %v", top, got)
		}
	}
	line.Next(entry(at("e", 6)), noon)
	if line.Differs(before, at("e", 7)) {
		t.Error("a message has come meanwhile: what is missing shows by itself")
	}
}

func TestTail_AllTailsOfANodeAreBounded(t *testing.T) {
	store := new(Store)
	var lines []*Timeline
	for _, crowd := range []struct{ tails, messages, bytes int }{
		{60, 40, 32 << 10}, // until each tail may hold only little
		{3000, 1, 4 << 10}, // until no tail may hold anything
	} {
		payload := make([]byte, crowd.bytes)
		for range crowd.tails {
			line := New(store)
			lines = append(lines, &line)
			for offset := range crowd.messages {
				e := entry(at("e", uint64(offset+1)))
				e.Message.Payload = payload
				line.Next(e, noon)
			}
			if held := store.tails.Load(); held > tailsMost {
				t.Fatalf("%d tails hold %d bytes", len(lines), held)
			}
		}
	}
	if held := store.tails.Load(); held < tailsMost-tailModest {
		t.Errorf("all tails hold %d bytes: they have not come to the bound", held)
	}
	for _, line := range lines {
		line.Close()
	}
	if held := store.tails.Load(); held != 0 {
		t.Errorf("closed tails hold %d bytes", held)
	}
}

func TestStore_TheArchiveIsBoundedAndForgets(t *testing.T) {
	store := new(Store)
	lines := make([]Timeline, 20)
	payload := make([]byte, 32<<10)
	for i := range lines {
		lines[i] = New(store)
		lines[i].at = at("e", 1000)
		page := pageOf("e", 1, 50, 1000)
		for m := range page.Messages {
			page.Messages[m].Payload = payload
		}
		r := lines[i].Resume(at("e", 0))
		if lines[i].Keep(r, page, noon.Add(time.Duration(i)*time.Millisecond)) {
			t.Fatal("the epoch is taken for another")
		}
		if store.archived > archiveBytes {
			t.Fatalf("%d pages hold %d bytes", i+1, store.archived)
		}
	}
	if store.find(&lines[0], at("e", 0)) != nil || store.find(&lines[len(lines)-1], at("e", 0)) == nil {
		t.Error("it is not the oldest pages that are let go of")
	}
	lines[len(lines)-1].Clear(at("e", 1000))
	if store.find(&lines[len(lines)-1], at("e", 0)) != nil {
		t.Error("a cleared history is still there")
	}
	store.Sweep(noon.Add(time.Minute))
	if store.archived != 0 || len(store.pages) != 0 || len(store.order) != 0 {
		t.Errorf("%d bytes are held for ever", store.archived)
	}
}

// BenchmarkStore_Find looks for a page while the tails are full: then the archive has the last few
// messages of many channels.
func BenchmarkStore_Find(b *testing.B) {
	store := new(Store)
	store.tails.Store(tailsMost + 1)
	lines := make([]Timeline, 16_000)
	for i := range lines {
		lines[i] = New(store)
		lines[i].at = at("e", 1000)
		lines[i].Keep(lines[i].Resume(at("e", 998)), pageOf("e", 999, 1000, 1000), noon)
	}
	for i := 0; b.Loop(); i++ {
		if store.find(&lines[i%len(lines)], at("e", 998)) == nil {
			b.Fatal("a page is not found")
		}
	}
}

// shout is an encoder that counts its calls.
type shout struct{ times *int }

func (s shout) Encode(m, _ *broker.Message) ([]byte, error) {
	*s.times++
	return append(slices.Clone(m.Payload), '!'), nil
}

func TestEntry_IsEncodedOnceForEach(t *testing.T) {
	e := entry(at("e", 1))
	var a, b, c int
	for range 3 {
		for _, by := range []Encoder{shout{&a}, shout{&b}, shout{&c}} {
			if frame, err := e.Frame(by, nil); err != nil || string(frame) != "x!" {
				t.Fatalf("%q, %v", frame, err)
			}
		}
	}
	if a != 1 || b != 1 || c != 1 {
		t.Errorf("encoded %d, %d and %d times", a, b, c)
	}
}

// inBase64 is an encoder that counts its calls.
type inBase64 struct{ times *int }

func (e inBase64) Encode(m, _ *broker.Message) ([]byte, error) {
	*e.times++
	return fmt.Appendf(nil, `{"type":"message","channel":"a","binary":%q,"cursor":"e:1"}`, base64.StdEncoding.EncodeToString(m.Payload)), nil
}

// Many may resume on a channel with binary messages.
func TestEntry_IsEncodedOnceInBase64(t *testing.T) {
	for _, size := range []int{100, 10_000, 64 << 10} {
		e, times := entry(at("e", 1)), 0
		e.Message.Payload = make([]byte, size)
		for range 3 {
			if _, err := e.Frame(inBase64{&times}, nil); err != nil {
				t.Fatal(err)
			}
		}
		if times != 1 {
			t.Errorf("a message of %d bytes is encoded %d times", size, times)
		}
	}
}

// louder is one of many encoders whose frames are longer than the message.
type louder uint8

func (louder) Encode(m, _ *broker.Message) ([]byte, error) {
	return bytes.Repeat(m.Payload, 6), nil
}

// However many protocols there are, an entry takes no more than it weighs.
func TestEntry_KeepsNoMoreThanItWeighs(t *testing.T) {
	for _, size := range []int{1, 100, 64 << 10} {
		e := entry(at("e", 9))
		e.Message.Payload = bytes.Repeat([]byte{1}, size)
		for by := range louder(100) {
			for range 2 {
				frame, err := e.Frame(by, nil)
				if err != nil || len(frame) != 6*size {
					t.Fatalf("a frame of %d bytes, %v", len(frame), err)
				}
				delta, err := e.Frame(by, &broker.Message{Position: at("e", 1+uint64(by%8))})
				if err != nil || len(delta) != 6*size {
					t.Fatalf("a difference of %d bytes, %v", len(delta), err)
				}
			}
		}
		kept := 0
		for _, f := range e.frames {
			kept += len(f.frame)
		}
		if most := e.weight() - e.Message.Size(); kept > most {
			t.Errorf("of a message of %d bytes %d bytes of frames are kept, want %d at most", size, kept, most)
		}
	}
}
