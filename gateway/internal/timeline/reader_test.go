package timeline

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"tidegate/broker"

	"pgregory.net/rapid"
)

// filled returns a timeline whose tail has the last n messages up to a position.
func filled(position broker.Position, n uint64) *Timeline {
	line := starting(at(position.Epoch, position.Offset-n))
	for offset := position.Offset - n + 1; offset <= position.Offset; offset++ {
		line.Next(entry(at(position.Epoch, offset)), noon)
	}
	return line
}

func offsets(entries []*Entry) (all []uint64) {
	for _, e := range entries {
		all = append(all, e.offset())
	}
	return all
}

func TestStep_Verdicts(t *testing.T) {
	later := noon.Add(time.Minute)
	for _, c := range []struct {
		name    string
		cursor  broker.Position
		do      Do
		entries string
		lost    bool
	}{
		{"in the present", at("e", 9), Give, "[]", false},
		{"in the tail", at("e", 7), Give, "[8 9]", false},
		{"where the tail begins", at("e", 6), Give, "[7 8 9]", false},
		{"before the tail", at("e", 3), Read, "[]", false},
		{"ahead", at("e", 10), Look, "[]", false},
		{"of another epoch", at("f", 1), Look, "[]", false},
	} {
		line := filled(at("e", 9), 3)
		step := line.Step(line.Resume(c.cursor), later)
		if step.Do != c.do || fmt.Sprint(offsets(step.Entries)) != c.entries || step.Lost != c.lost || step.Present != (c.do == Give) {
			t.Errorf("%s: %+v", c.name, step)
		}
	}
}

func TestStep_NoMoreThanOneLookASecondForAnyNumberOfCursors(t *testing.T) {
	line := filled(at("e", 9), 3)
	now := noon.Add(time.Minute)
	looks := 0
	for i := range 1000 {
		for _, cursor := range []broker.Position{at("e", 1000+uint64(i)), at("f", uint64(i))} {
			switch step := line.Step(line.Resume(cursor), now); step.Do {
			case Look:
				looks++
				line.Suspect()
				line.repairAt(now, pageOf("e", 1, 0, 9))
			case Pause:
				if step.Wait <= 0 || step.Wait > lookEvery {
					t.Fatalf("a pause of %v", step.Wait)
				}
			default:
				t.Fatalf("cursor %v: %+v", cursor, step)
			}
		}
		now = now.Add(10 * time.Millisecond)
	}
	if looks > 11 {
		t.Errorf("%d looks in 10 s", looks)
	}
}

func TestStep_ACursorAheadIsLostOnlyAfterALookThatBeganSinceItCame(t *testing.T) {
	line := filled(at("e", 9), 3)
	line.Suspect()
	line.Ask(noon)
	r := line.Resume(at("e", 10)) // a message that the read may have missed
	if step := line.Step(r, noon); step.Do != Await {
		t.Fatalf("%+v", step)
	}
	page := pageOf("e", 1, 0, 9)
	line.Merge(page)
	line.Conclude(page)
	if step := line.Step(r, noon); step.Do != Pause || step.Wait != lookEvery {
		t.Fatalf("%+v", step)
	}
	if step := line.Step(r, noon.Add(lookEvery)); step.Do != Look {
		t.Fatalf("%+v", step)
	}
	line.Suspect()
	line.repairOnce(pageOf("e", 10, 12, 12))
	if step := line.Step(r, noon.Add(lookEvery)); step.Lost || fmt.Sprint(offsets(step.Entries)) != "[11 12]" {
		t.Errorf("%+v", step)
	}
}

func TestStep_WhoComesFromTheFormerEpochIsGivenWhatFollowsIt(t *testing.T) {
	line := starting(at("e", 5))
	line.Suspect()
	page := pageOf("f", 6, 8, 8)
	page.Former = at("e", 5)
	line.repairOnce(page)
	r := line.Resume(at("e", 4))
	line.settled = line.begun + 1 // a look
	if step := line.Step(r, noon); step.Do != Read || r.cursor != at("f", 4) {
		t.Fatalf("%+v after %v", step, r.cursor)
	}
	line.Keep(r, pageOf("f", 5, 8, 8), noon)
	if step := line.Step(r, noon); !step.Lost || step.After != at("f", 4) || fmt.Sprint(offsets(step.Entries)) != "[5 6 7 8]" {
		t.Errorf("%+v", step)
	}
}

// A client that has counted on from before the first message of the former epoch does not
// know the name of that epoch.
func TestStep_WhoHasCountedThroughTheFormerEpochIsGivenWhatFollowsIt(t *testing.T) {
	line := starting(unbornAt(0))
	line.Next(entry(at("e", 1)), noon)
	for range 2 { // a second look in the same epoch must change nothing
		line.Suspect()
		page := pageOf("f", 1, 8, 8)
		page.Former = at("e", 5)
		line.repairOnce(page)
		for cursor, want := range map[broker.Position]uint64{unbornAt(4): 4, unbornAt(7): 5, {Epoch: "other", Offset: 4}: 0} {
			if got := line.afterLoss(cursor); got != at("f", want) {
				t.Errorf("after %v it goes on at %v, want %d", cursor, got, want)
			}
		}
	}
	line.Suspect()
	page := pageOf("g", 1, 9, 9)
	page.Former = at("f", 8)
	line.repairOnce(page)
	if got := line.afterLoss(unbornAt(4)); got != at("g", 0) {
		t.Errorf("after two epochs it goes on at %v", got)
	}
}

func unbornAt(offset uint64) broker.Position {
	return broker.Position{Epoch: "000001era", Offset: offset}
}

func TestRecent_GivesTheLastMessages(t *testing.T) {
	for _, c := range []struct {
		n       int
		do      Do
		entries string
	}{{1, Give, "[9]"}, {3, Give, "[7 8 9]"}, {5, Read, "[]"}} {
		line := filled(at("e", 9), 3)
		if step := line.Step(line.Recent(c.n, 0), noon); step.Do != c.do || step.Lost || fmt.Sprint(offsets(step.Entries)) != c.entries {
			t.Errorf("the last %d: %+v", c.n, step)
		}
	}
}

func TestRecent_OfAShortHistoryIsNoLoss(t *testing.T) {
	line := filled(at("e", 9), 3)
	r := line.Recent(100, 0)
	if step := line.Step(r, noon); step.Do != Read {
		t.Fatalf("%+v", step)
	}
	line.Keep(r, broker.Page{Messages: pageOf("e", 5, 9, 9).Messages, Top: at("e", 9), Lost: true}, noon)
	step := line.Step(r, noon)
	if step.Lost || step.After != at("e", 4) || fmt.Sprint(offsets(step.Entries)) != "[5 6 7 8 9]" {
		t.Errorf("%+v", step)
	}
}

// world is a history, one node's timeline of it, and clients that catch up. It does what
// package gateway does, without goroutines.
type world struct {
	*rapid.T
	line *Timeline
	now  time.Time

	// The history.
	epoch  string
	epochs int
	top    uint64
	kept   []broker.Message // the last messages
	former broker.Position
	newest uint64 // serial number of the newest message

	stale *world // the history of a server that was the master once; nil if there is none
	lies  int    // consecutive reads that it has answered

	clients []*client
}

// client is a client that resumes. Every message has a serial number as its payload.
type client struct {
	reader  *Reader // nil if the client is up to date
	cursor  broker.Position
	last    uint64 // serial number of the last message that it has
	told    bool   // told of a loss since then
	present bool
}

const worldKeeps = 12

func (w *world) publish(lost bool) {
	w.top++
	w.newest++
	m := broker.Message{Payload: fmt.Append(nil, w.newest), Position: at(w.epoch, w.top)}
	w.kept = append(w.kept, m)
	if len(w.kept) > worldKeeps {
		w.kept = w.kept[1:]
	}
	if !lost {
		w.receive(m)
	}
}

func (w *world) receive(m broker.Message) {
	e := &Entry{Message: m}
	if w.line.Next(e, w.now) == Deliver {
		w.hear(e)
	}
}

// hear gives a message to all clients that are up to date.
func (w *world) hear(e *Entry) {
	for _, c := range w.clients {
		if c.present {
			w.take(c, e)
		}
	}
}

func (w *world) take(c *client, e *Entry) {
	var serial uint64
	fmt.Sscan(string(e.Message.Payload), &serial)
	switch {
	case serial <= c.last:
		w.Fatalf("message %d came after %d", serial, c.last)
	case serial != c.last+1 && !c.told:
		w.Fatalf("nothing was told of what is missing between %d and %d", c.last, serial)
	}
	c.cursor, c.last, c.told = e.Message.Position, serial, false
}

func (w *world) loseAll() {
	for _, c := range w.clients {
		if c.present {
			c.told = true
		}
	}
}

// fork keeps the present state of the history as a stale server, which will be asked now and then.
func (w *world) fork() {
	left := *w
	left.kept = slices.Clone(w.kept)
	w.stale = &left
}

// read asks the master or, a few times, a former master. The timeline must notice where it
// can: if it has been further, or in another epoch since.
func (w *world) read(after broker.Position) broker.Page {
	limit := rapid.IntRange(1, 5).Draw(w.T, "page")
	shows := w.stale != nil && (w.stale.epoch == w.line.left.Epoch || w.stale.epoch == w.line.at.Epoch && w.stale.top < w.line.at.Offset)
	if shows && w.lies < 3 && rapid.Bool().Draw(w.T, "stale") {
		w.lies++
		return w.stale.since(after, limit)
	}
	w.lies = 0
	return w.since(after, limit)
}

// since implements broker.History.
func (w *world) since(after broker.Position, limit int) broker.Page {
	page := broker.Page{Top: at(w.epoch, w.top), Former: w.former}
	from := after.Offset
	switch {
	case after.Epoch == w.epoch && after.Offset <= w.top:
	case after.Epoch == w.former.Epoch:
		from, page.Lost = min(from, w.former.Offset), true
	default:
		from, page.Lost = 0, true
	}
	for _, m := range w.kept {
		if m.Position.Offset > from && len(page.Messages) < limit {
			m.Position.Epoch = w.epoch
			page.Messages = append(page.Messages, m)
		}
	}
	first := w.top + 1
	if len(page.Messages) > 0 {
		first = page.Messages[0].Position.Offset
	}
	page.Lost = page.Lost || first > from+1
	return page
}

// repair does one round of a repair.
func (w *world) repair() {
	if !w.line.repair.open {
		return
	}
	after, _ := w.line.Ask(w.now)
	page := w.read(after)
	if rapid.Bool().Draw(w.T, "meanwhile") {
		w.publish(false)
	}
	if w.line.Merge(page) {
		w.loseAll()
	}
	for _, m := range page.Messages {
		if e := (&Entry{Message: m}); w.line.Follow(e, w.now) {
			w.hear(e)
		}
	}
	if w.line.Conclude(page) == Lost {
		w.loseAll()
	}
}

// advance does one Step of a client.
func (w *world) advance(c *client, room int) {
	step := w.line.Step(c.reader, w.now)
	switch step.Do {
	case Await:
		w.repair()
	case Look:
		w.line.Suspect()
	case Pause:
		w.now = w.now.Add(step.Wait)
	case Read:
		after, _ := w.line.AskFor(c.reader)
		page := w.read(after)
		if rapid.Bool().Draw(w.T, "meanwhile") {
			w.publish(false)
		}
		if w.line.Keep(c.reader, page, w.now) {
			w.line.Suspect()
		}
	case Give:
		w.give(c, step, room)
	}
}

func (w *world) give(c *client, step Step, room int) {
	c.told = c.told || step.Lost
	for i, e := range step.Entries {
		if i == room {
			return
		}
		w.take(c, e)
		c.reader.Take(e)
	}
	if step.Present {
		w.line.Arrive(c.reader)
		c.reader, c.present = nil, true
	}
}

func (w *world) arrive() {
	if len(w.clients) < 6 {
		w.clients = append(w.clients, &client{reader: w.line.Resume(w.cursor()), cursor: w.cursor(), last: w.newest})
	}
}

func (w *world) cursor() broker.Position { return at(w.epoch, w.top) }

// leave disconnects a client, which comes back with the cursor that it has.
func (w *world) leave(c *client) {
	c.present, c.reader = false, w.line.Resume(c.cursor)
}

func (w *world) begin(keep bool) {
	w.epochs++
	w.former = broker.Position{}
	if keep {
		w.former = at(w.epoch, w.top)
	} else {
		w.kept, w.top = nil, 0
	}
	w.epoch = fmt.Sprint("e", w.epochs)
}

// TestReader_HearsAllOrIsTold runs random sequences of losses, repairs, new epochs and
// clients that come and go. No client is given a message twice, and one that misses a
// message is told before it gets the next.
func TestReader_HearsAllOrIsTold(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		line := New(new(Store))
		w := &world{T: rt, line: &line, now: noon, epoch: "e0"}
		look := line.BeginLook(noon)
		line.Locate(broker.Top{Position: w.cursor()}, look)
		one := func() *client {
			if len(w.clients) == 0 {
				return nil
			}
			return rapid.SampledFrom(w.clients).Draw(rt, "client")
		}
		restarted := false
		rt.Repeat(map[string]func(*rapid.T){
			"publish": func(*rapid.T) { w.publish(false) },
			"lose":    func(*rapid.T) { w.publish(true) },
			"repeat": func(rt *rapid.T) {
				if len(w.kept) > 0 {
					w.receive(rapid.SampledFrom(w.kept).Draw(rt, "message"))
				}
			},
			"suspect": func(*rapid.T) { w.line.Suspect() },
			"repair":  func(*rapid.T) { w.repair() },
			"arrive":  func(*rapid.T) { w.arrive() },
			"advance": func(rt *rapid.T) {
				if c := one(); c != nil && c.reader != nil {
					w.advance(c, rapid.IntRange(0, 9).Draw(rt, "room"))
				}
			},
			"leave": func(*rapid.T) {
				if c := one(); c != nil {
					w.leave(c)
				}
			},
			"wait": func(*rapid.T) { w.now = w.now.Add(40 * time.Second); w.line.Resting(w.now); w.line.store.Sweep(w.now) },
			"flush": func(*rapid.T) {
				w.begin(false)
				restarted = false
			},
			"fork": func(*rapid.T) { w.fork() },
			"restart": func(*rapid.T) {
				if !restarted { // nothing is known of the epoch before the former one
					w.begin(true)
					restarted = true
				}
			},
		})
		w.end()
	})
}

// end lets everything settle: then every client has the newest message.
func (w *world) end() {
	for _, c := range w.clients {
		for turns := 0; c.reader != nil; turns++ {
			if turns > 1000 {
				w.Fatal("a client does not come to the present")
			}
			w.advance(c, 1000)
		}
	}
	w.publish(false)
	for turns := 0; w.line.repair.open; turns++ {
		if turns > 1000 {
			w.Fatal("a repair does not end")
		}
		w.repair()
	}
	for i, c := range w.clients {
		if c.last != w.newest {
			w.Fatalf("client %d has heard %d, and %d is the newest", i, c.last, w.newest)
		}
	}
}
