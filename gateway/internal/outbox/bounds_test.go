package outbox

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func frame(n int) []byte { return []byte(strings.Repeat("x", n)) }

func TestOutbox_IsBoundedButTakesAnySingleFrame(t *testing.T) {
	all := &Pool{Limit: 100}
	o := drained()
	push := func(size int, want Verdict, what string) {
		t.Helper()
		if v := o.Push(frame(size), all); v != want {
			t.Errorf("%s: %v, want %v", what, v, want)
		}
	}
	take := func(atMost, want int) {
		t.Helper()
		if taken := o.Take(nil, atMost, all); len(taken.Frames) != want {
			t.Errorf("took %d frames, want %d", len(taken.Frames), want)
		}
	}
	push(1000, Wakes, "a single large frame")
	push(60, Waits, "a small one beside it")
	push(101, Full, "a second large one")
	push(41, Full, "more small ones than the limit")
	take(10, 1)
	if o.Bytes() != 1060 {
		t.Errorf("%d bytes are held", o.Bytes())
	}
	push(41, Full, "more small ones than the limit while the writer has the large one")
	push(40, Waits, "a small one while the writer has the large one")
	take(100, 2)
	push(1, Full, "one beside what the writer has in hand")
	push(101, Waits, "a large one behind small ones")
	push(1, Full, "one more than the limit before the large one")
	take(1000, 1)
	if turn, _ := o.Release(); turn != Rest || o.Bytes() != 0 {
		t.Errorf("turn %v, %d bytes are held after all was written", turn, o.Bytes())
	}
}

func TestOutbox_TakesInOrderAndWithinTheBytesAskedFor(t *testing.T) {
	all := &Pool{}
	o := drained()
	for _, text := range []string{"one", "two", "three"} {
		o.Push([]byte(text), all)
	}
	first := o.Take(nil, 7, all)
	if turn, _ := o.Release(); turn != Again {
		t.Errorf("with more waiting the turn is %v", turn)
	}
	second := o.Take(nil, 7, all)
	if got := string(join(first.Frames)) + "|" + string(join(second.Frames)); got != "onetwo|three" {
		t.Errorf("took %q", got)
	}
}

func TestOutbox_KeepsAPlaceForWhatIsToBeWrittenFirst(t *testing.T) {
	all := &Pool{}
	for name, connected := range map[string]bool{"attached": true, "not yet": false} {
		o := &Outbox{}
		o.Push([]byte("a"), all)
		if connected {
			o.Attach()
		}
		o.Hold()
		o.Push([]byte("d"), all)
		o.Push([]byte("e"), all)
		if connected {
			if taken := join(o.Take(nil, 100, all).Frames); string(taken) != "a" {
				t.Errorf("%s: took %q before the place was filled", name, taken)
			}
			if turn, _ := o.Release(); turn != Rest || o.Attached() {
				t.Errorf("%s: the turn is %v while the place is empty", name, turn)
			}
			if v := o.Push([]byte("f"), all); v != Waits {
				t.Errorf("%s: what comes meanwhile: %v", name, v)
			}
		}
		wakes := o.Fill([][]byte{[]byte("b"), []byte("c")}, all)
		if want := map[bool]string{true: "bcdef", false: "abcde"}[connected]; wakes != connected {
			t.Errorf("%s: Fill wakes: %v", name, wakes)
		} else if got := join(o.Take(nil, 100, all).Frames); string(got) != want || o.Fill([][]byte{[]byte("x")}, all) {
			t.Errorf("%s: then took %q, want %q", name, got, want)
		}
	}
}

func TestOutbox_AnEndDoesNotWaitForWhatAPlaceWasKeptFor(t *testing.T) {
	all := &Pool{}
	o := drained()
	o.Hold()
	o.Push([]byte("rest"), all)
	if _, wakes := o.End(Ending{Why: errors.New("bye")}, time.Now()); !wakes {
		t.Error("nobody writes the rest")
	}
	if got := join(o.Take(nil, 100, all).Frames); string(got) != "rest" {
		t.Errorf("took %q", got)
	}
	if turn, _ := o.Release(); turn != Finish {
		t.Errorf("the turn is %v, want Finish", turn)
	}
}

func join(frames [][]byte) (all []byte) {
	for _, f := range frames {
		all = append(all, f...)
	}
	return all
}

func TestOutbox_AStalledPeerGetsTheLatestOfAConflatedChannel(t *testing.T) {
	all := &Pool{Limit: 10}
	o := drained()
	o.PushLatest("a", []byte("a1"), all, Receipt{})
	o.Take(nil, 100, all)
	o.Stall()
	for _, text := range []string{"a2", "b1", "a3"} {
		if v := o.PushLatest(text[:1], []byte(text), all, Receipt{}); v != Waits {
			t.Fatalf("%s: %v", text, v)
		}
	}
	got := o.Take(nil, 100, all)
	if len(got.Frames) != 2 || got.Messages != 2 || !strings.Contains(string(join(got.Frames)), "a3") || !strings.Contains(string(join(got.Frames)), "b1") {
		t.Errorf("took %q", got.Frames)
	}
}

var errOver = errors.New("over")

func TestOutbox_EndWritesWhatWaitsUnlessItIsForsaken(t *testing.T) {
	for _, test := range []struct {
		name   string
		ending Ending
		left   int
	}{
		{"in order", Ending{Why: errOver, Patience: time.Minute}, 1},
		{"forsaken", Ending{Why: errOver, Forsakes: true}, 0},
	} {
		all := &Pool{}
		o := drained()
		o.Push(frame(3), all)
		if first, wakes := o.End(test.ending, time.Now()); !first || wakes {
			t.Errorf("%s: first %v, wakes %v", test.name, first, wakes)
		}
		if first, _ := o.End(test.ending, time.Now()); first {
			t.Errorf("%s: a second end is the first", test.name)
		}
		if v := o.Push(frame(1), all); v != Refused {
			t.Errorf("%s: a frame after the end: %v", test.name, v)
		}
		if got := o.Take(nil, 100, all); len(got.Frames) != test.left {
			t.Errorf("%s: %d frames are written", test.name, len(got.Frames))
		}
		if turn, why := o.Release(); turn != Finish || why != errOver {
			t.Errorf("%s: turn %v, %v", test.name, turn, why)
		}
	}
}

// The latest messages of conflated channels take no room from what else a slow peer is sent.
func TestOutbox_LatestMessagesLeaveRoomForOthers(t *testing.T) {
	all := &Pool{Limit: 100}
	for name, room := range map[string]int{"stalled": 50, "not yet": 10} {
		o := drained()
		if name == "stalled" {
			o.Push(frame(1), all)
			o.Take(nil, 100, all)
			o.Stall()
		}
		for channel := range 9 {
			if v := o.PushLatest(channel, frame(40), all, Receipt{}); v > Wakes {
				t.Errorf("%s: message %d: %v", name, channel, v)
			}
		}
		if v := o.Push(frame(50), all); v > Wakes {
			t.Errorf("%s: another frame beside those that wait: %v", name, v)
		}
		o.Take(nil, 100, all)
		if v := o.Push(frame(room), all); v > Wakes {
			t.Errorf("%s: another frame beside those that are being written: %v", name, v)
		}
		if v := o.Push(frame(1), all); v != Full {
			t.Errorf("%s: a frame beyond the limit: %v", name, v)
		}
		if got := o.Bytes(); got != 9*40+50+room {
			t.Errorf("%s: %d bytes are held", name, got)
		}
		if o.Take(nil, 100, all); o.Bytes() != room {
			t.Errorf("%s: %d bytes are held, want the %d of one frame", name, o.Bytes(), room)
		}
	}
}

// What is told of messages that were written must not be told of others.
func TestOutbox_MessagesThatAreDroppedCountAsNothing(t *testing.T) {
	all := &Pool{}
	o := drained()
	o.PushMessage(frame(1), all, Receipt{At: time.Now(), Became: func(bool) { t.Error("a message counts as written or replaced that was dropped") }})
	o.End(Ending{Why: errOver, Forsakes: true}, time.Now())
	taken := o.Take(nil, 100, all)
	if taken.Written(); taken.Messages != 0 || !taken.Sampled.IsZero() {
		t.Errorf("%d messages, one of them received at %v", taken.Messages, taken.Sampled)
	}
}

func TestOutbox_TellsWhatBecomesOfEachMessage(t *testing.T) {
	all := &Pool{}
	o := drained()
	told := ""
	follow := func(name string) Receipt {
		return Receipt{Became: func(written bool) { told += fmt.Sprintf("%s %v, ", name, written) }}
	}
	take := func(atMost int, want string) {
		t.Helper()
		taken := o.Take(nil, atMost, all)
		if taken.Written(); told != want {
			t.Errorf("told %q, want %q", told, want)
		}
		told = ""
	}
	o.PushMessage(frame(1), all, follow("a"))
	o.Hold()
	o.PushMessage(frame(1), all, follow("b"))
	o.Fill([][]byte{frame(1), frame(1)}, all) // a, two others, b
	o.PushMessage(frame(1), all, follow("c"))
	take(3, "a true, ")
	take(1, "b true, ")
	o.Stall()
	o.PushLatest("x", frame(1), all, follow("x1"))
	o.PushLatest("x", frame(1), all, follow("x2"))
	o.PushLatest("y", frame(1), all, follow("y"))
	o.DropLatest("y")
	take(9, "x1 false, y false, x2 true, c true, ")
}

// A peer that always leaves something must not cost more memory the longer it does.
func TestOutbox_APeerThatNeverTakesAllHoldsNoMoreOverTime(t *testing.T) {
	all := &Pool{}
	o := drained()
	for range 100 {
		o.Push(frame(1), all)
	}
	next := 0
	for i := range 100_000 {
		o.Push([]byte{byte(i)}, all)
		taken := o.Take(nil, 1, all).Frames
		if len(taken) != 1 || i >= 100 && taken[0][0] != byte(next) {
			t.Fatalf("after %d frames took %q", i, taken)
		} else if i >= 100 {
			next++
		}
	}
	if n := cap(o.more.frames); n > 1000 {
		t.Errorf("100 frames take the place of %d", n)
	}
}

func TestOutbox_GiveUp(t *testing.T) {
	now := time.Now()
	o := drained()
	if outlook, _ := o.GiveUp(now, now.Add(StallPatience)); outlook != Hope {
		t.Errorf("within the patience: %v", outlook)
	}
	if outlook, _ := o.GiveUp(now, now.Add(StallPatience+1)); outlook != TooSlow {
		t.Errorf("beyond it: %v", outlook)
	}
	o.End(Ending{Why: errOver, Patience: time.Second}, now)
	if outlook, _ := o.GiveUp(now, now.Add(time.Second)); outlook != Hope {
		t.Errorf("within the ending's patience: %v", outlook)
	}
	if outlook, why := o.GiveUp(now, now.Add(time.Second+1)); outlook != GivenUp || why != errOver {
		t.Errorf("beyond it: %v, %v", outlook, why)
	}
}

func TestOutbox_RoomIsAnnounced(t *testing.T) {
	all := &Pool{Limit: 10}
	o := drained()
	o.Push(frame(10), all)
	room := o.Room(5, all)
	if room == nil {
		t.Fatal("a full outbox has room")
	}
	o.Take(nil, 100, all)
	select {
	case <-room:
	default:
		t.Error("nobody was told that a writer has taken something")
	}
	o.Release()
	if o.Room(5, all) != nil {
		t.Error("an empty outbox has no room")
	}
}

func TestLine_HelpWritesWhatIsLittleAndLeavesTheRest(t *testing.T) {
	var flushed []*Outbox
	line := NewLine(func(o *Outbox, buf [][]byte) [][]byte {
		flushed = append(flushed, o)
		return buf
	})
	boxes := make([]*Outbox, helpMost+1)
	for i := range boxes {
		boxes[i] = new(Outbox)
	}
	line.Park(boxes[0], boxes[1])
	line.Park(boxes[2])
	line.Help()
	if !slices.Equal(flushed, boxes[:3]) {
		t.Errorf("helped with %d outboxes, not with the 3 in their order", len(flushed))
	}
	for _, o := range boxes {
		line.Park(o)
	}
	flushed = nil
	line.Help()
	if len(flushed) != 0 {
		t.Errorf("helped with %d outboxes, too many for one", len(flushed))
	}
	line.stop()
	line.Run(t.Context(), 1) // writes what is left before it returns
	if !slices.Equal(flushed, boxes) {
		t.Errorf("%d of %d were written at the end", len(flushed), len(boxes))
	}
	for name, queue := range map[string]func(){
		"queued": func() { line.Queue(boxes...) },
		"parked": func() { line.Park(boxes...); line.Rouse() },
	} {
		flushed = nil
		if queue(); !slices.Equal(flushed, boxes) {
			t.Errorf("%d of %d that were %s after the end were written", len(flushed), len(boxes), name)
		}
	}
}
