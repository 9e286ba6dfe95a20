package pusher

import (
	"testing"
	"testing/synctest"
	"time"

	"tidegate/gateway"

	"tidegate/gateway/internal/rates"
)

// The goroutine that passes on may call next after the box has been stopped. That must not
// restart the timer.
func TestBox_ThatIsStoppedExpiresNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		expired := false
		b := newBox(new(space), nil, func() {}, func() { expired = true })
		b.stop()
		b.next()
		time.Sleep(2 * askPatience)
		synctest.Wait()
		if expired {
			t.Error("its timer has run")
		}
	})
}

// space is a room of a fixed number of bytes.
type space struct{ most, taken int }

func (s *space) Hold(_ *rates.Bucket, n int) error {
	if s.taken+n > s.most {
		return gateway.Failed
	}
	s.taken += n
	return nil
}

func (s *space) LetGo(_ *rates.Bucket, n int) { s.taken -= n }

func TestBox_HoldsOfTheNodesRoomWhatItHas(t *testing.T) {
	all := &space{most: 25}
	frames := [][]byte{make([]byte, 10), make([]byte, 10), make([]byte, 10)}
	first, second := newBox(all, nil, func() {}, func() {}), newBox(all, nil, func() {}, func() {})
	if rest, err := first.Write(frames[:1], 0); err != nil || len(rest) != 0 {
		t.Fatalf("%d frames are left (%v), want 0", len(rest), err)
	}
	if rest, err := second.Write(frames, 0); err != nil || len(rest) != 2 {
		t.Errorf("%d frames are left (%v), want the 2 for which there is no room", len(rest), err)
	}
	first.Close(gateway.Disconnected, nil)
	first.ask(reader{"node", "ticket"})
	_, chunk, last, _ := first.next()
	if first.passed(len(chunk)); !last || all.taken != 10 {
		t.Errorf("%d bytes are taken when one has passed on all (%v), want 10", all.taken, last)
	}
	first.stop()
	second.stop()
	second.passed(10)
	if all.taken != 0 {
		t.Errorf("%d bytes are taken when both have ended", all.taken)
	}
}

// If a client no longer asks, what waits for it is dropped and its room returned.
func TestBox_ThatIsEmptiedHoldsNothing(t *testing.T) {
	all := &space{most: 3 * boxBytes}
	b := newBox(all, nil, func() {}, func() {})
	long, short := make([]byte, 2*boxBytes), make([]byte, 1)
	if rest, err := b.Write([][]byte{long, short}, 0); err != nil || len(rest) != 1 {
		t.Errorf("%d frames are left (%v), want the one behind a frame that fills the box", len(rest), err)
	}
	b.Close(gateway.TimedOut, nil)
	b.empty()
	if all.taken != 0 {
		t.Errorf("%d bytes are taken by a box that is empty", all.taken)
	}
	b.stop()
	if all.taken != 0 {
		t.Errorf("%d bytes are taken by a box that has ended", all.taken)
	}
}

// A request that may not have got its chunk is answered with the end of the session, but a later
// one comes first.
func TestBox_OfferLetsALaterRequestAnswer(t *testing.T) {
	for _, c := range []struct{ later, gets reader }{{reader{}, reader{"a", "1"}}, {reader{"b", "2"}, reader{"b", "2"}}} {
		b := newBox(new(space), nil, func() {}, func() {})
		defer b.stop()
		_, _ = b.Write([][]byte{[]byte("x")}, 0)
		b.ask(reader{"a", "1"})
		to, _, _, _ := b.next()
		if c.later != (reader{}) {
			b.ask(c.later)
		}
		b.offer(to)
		b.Close(gateway.Missed, nil)
		if gets, _, last, more := b.next(); gets != c.gets || !last || !more {
			t.Errorf("after %v asked, %v gets the end (last %v, more %v), want %v", c.later, gets, last, more, c.gets)
		}
	}
}
