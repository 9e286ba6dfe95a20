package timeline

import (
	"strings"
	"testing"

	"tidegate/broker"
)

func TestLatest_TakesNoMoreThanANodeHasForAll(t *testing.T) {
	store := new(Store)
	m := &broker.Message{Payload: make([]byte, 1<<20)}
	all := make([]Latest, latestMost>>20+1)
	kept := 0
	for i := range all {
		if all[i].Keep(m, store); all[i].Message() != nil {
			kept++
		}
	}
	if kept != latestMost>>20-1 || store.latest.Load() > latestMost {
		t.Errorf("%d messages of 1 MB are kept, which weigh %d", kept, store.latest.Load())
	}
	all[0].Keep(&broker.Message{Payload: []byte("small")}, store)
	if got := all[0].Message(); got == nil || string(got.Payload) != "small" {
		t.Errorf("instead of a large one %v is kept", got)
	}
	for i := range all {
		all[i].Drop(store)
	}
	if got := store.latest.Load(); got != 0 || all[0].Message() != nil {
		t.Errorf("when all are let go %d bytes count", got)
	}
}

// Every part of a message counts, not the payload alone.
func TestStore_CountsAllOfAMessage(t *testing.T) {
	text := strings.Repeat("x", 1000)
	m := broker.Message{
		Payload: []byte("1"), Event: text, User: text, Session: text, Except: text, Trace: text, Key: text,
		Info: []byte(text), Elsewhere: []byte(text), Tags: []byte(text),
	}
	store := new(Store)
	if new(Latest).Keep(&m, store); store.latest.Load() < 9000 {
		t.Errorf("the latest message weighs %d, and has 9 KB", store.latest.Load())
	}
	if weight := (&Entry{Message: m}).weight(); weight < 2*9000 {
		t.Errorf("an entry weighs %d, and has 9 KB and a frame of as many", weight)
	}
}

// tellingBefore counts its calls.
type tellingBefore struct{ asked *int }

func (b tellingBefore) Encode(m, before *broker.Message) ([]byte, error) {
	*b.asked++
	return []byte(string(m.Payload) + " after " + string(before.Payload)), nil
}

func TestEntry_ADeltaIsEncodedOnceForEachPair(t *testing.T) {
	message := func(payload string, offset uint64) broker.Message {
		return broker.Message{Payload: []byte(payload), Position: at("e", offset)}
	}
	e := &Entry{Message: message("third", 3)}
	first, second, other := message("first", 1), message("second", 2), message("second", 2)
	asked := 0
	for _, c := range []struct {
		before *broker.Message
		want   string
		asked  int
	}{{&second, "third after second", 1}, {&other, "third after second", 1}, {&first, "third after first", 2}, {&second, "third after second", 2}} {
		frame, err := e.Frame(tellingBefore{&asked}, c.before)
		if err != nil || string(frame) != c.want || asked != c.asked {
			t.Errorf("%q, %v, encoded %d times; want %q, %d", frame, err, asked, c.want, c.asked)
		}
	}
	for n, payload := range []string{"one", "another"} { // two messages without a position must not be confused
		frame, err := e.Frame(tellingBefore{&asked}, &broker.Message{Payload: []byte(payload)})
		if err != nil || string(frame) != "third after "+payload || asked != 3+n {
			t.Errorf("%q, %v, encoded %d times", frame, err, asked)
		}
	}
}
