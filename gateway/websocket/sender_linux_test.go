package websocket

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"tidegate/gateway"
)

// eachOutlet runs a test on a sender with each kind of outlet.
func eachOutlet(t *testing.T, test func(t *testing.T, w *sender, client *net.TCPConn)) {
	for name, outletOf := range map[string]func(testing.TB, *net.TCPConn) outlet{"socket": socketOf, "relay": relayOf} {
		t.Run(name, func(t *testing.T) {
			server, client := connect(t)
			server.SetWriteBuffer(16 << 10)
			client.SetReadBuffer(16 << 10)
			boundUnsent(server)
			test(t, &sender{out: outletOf(t, server), shared: &shared{}}, client)
		})
	}
}

func relayOf(_ testing.TB, conn *net.TCPConn) outlet { return newRelay(conn, nil) }

// socketOf returns the socket of a connection, which a poller watches until the test ends.
func socketOf(t testing.TB, conn *net.TCPConn) outlet {
	p, err := newPoller(nil)
	must(t, err)
	fd, err := detach(conn)
	must(t, err)
	s := &socket{poller: p, fd: int32(fd)}
	must(t, p.watch(deaf{}, s))
	t.Cleanup(func() {
		p.forget(s)
		s.close()
		p.close()
	})
	return s
}

// deaf is a connection that nobody reads from.
type deaf struct{}

func (deaf) wake(bool) {}
func (deaf) hangUp()   {}

// closeInOrder closes the connection once all that was taken has been written.
func closeInOrder(out outlet) {
	out.await(time.Now().Add(patience))
	out.abort()
}

// farewell sends the farewell, and returns a channel that is closed once it has been sent.
func farewell(w *sender, reason gateway.Reason, rest []byte) (said chan struct{}) {
	said = make(chan struct{})
	w.part(reason, rest, func() { close(said) })
	return said
}

func TestSender_WritesEveryByteInOrder(t *testing.T) {
	sizes := []int{1, 10, 100_000, 3, scratchBytes, scratchBytes + 1, 0, 5, 300_000}
	for range 500 {
		sizes = append(sizes, 700)
	}
	var frames [][]byte
	for _, size := range sizes {
		frame := make([]byte, size)
		rand.Read(frame)
		frames = append(frames, frame)
	}
	want := bytes.Join(frames, nil)
	eachOutlet(t, func(t *testing.T, w *sender, client *net.TCPConn) {
		got := make(chan []byte)
		go func() {
			all, _ := io.ReadAll(client)
			got <- all
		}()
		rest := slices.Clone(frames)
		stalls := 0
		for len(rest) > 0 {
			var err error
			wait := time.Duration(stalls%2) * time.Millisecond
			if rest, err = w.Write(rest, wait); err != nil {
				t.Fatal(err)
			}
			stalls++
		}
		closeInOrder(w.out)
		if !bytes.Equal(<-got, want) {
			t.Error("what arrived is not what was written")
		}
		if stalls < 2 {
			t.Errorf("the peer never stalled: the test shows nothing")
		}
	})
}

func TestSender_LeavesTheCallersFramesAlone(t *testing.T) {
	eachOutlet(t, func(t *testing.T, w *sender, client *net.TCPConn) {
		frames := [][]byte{make([]byte, 10_000_000), []byte("next")}
		rest, err := w.Write(frames, 0)
		if err != nil || len(rest) != 2 || len(rest[0]) >= 10_000_000 {
			t.Fatalf("%d frames are left, %v", len(rest), err)
		}
		if len(frames[0]) != 10_000_000 || string(frames[1]) != "next" {
			t.Error("the frames were changed")
		}
	})
}

func TestSender_WaitsNoLongerThanAsked(t *testing.T) {
	eachOutlet(t, func(t *testing.T, w *sender, client *net.TCPConn) {
		frames := [][]byte{make([]byte, 10_000_000)}
		for _, wait := range []time.Duration{0, 50 * time.Millisecond} {
			began := time.Now()
			rest, err := w.Write(frames, wait)
			if err != nil || len(rest) != 1 {
				t.Fatalf("%d frames are left, %v", len(rest), err)
			}
			if took := time.Since(began); took < wait || took > wait+patience/2 {
				t.Errorf("a wait of %v took %v", wait, took)
			}
			frames = rest
		}
	})
}

func TestSender_AControlFrameWaitsForTheFrameThatWasBegun(t *testing.T) {
	eachOutlet(t, func(t *testing.T, w *sender, client *net.TCPConn) {
		frame := bytes.Repeat([]byte("d"), 300_000)
		rest, err := w.Write([][]byte{frame}, 0)
		if err != nil || len(rest) == 0 {
			t.Fatalf("%d frames are left, %v", len(rest), err)
		}
		w.pong([]byte("old"))
		w.pong([]byte("new"))
		got := make(chan []byte)
		go func() {
			all, _ := io.ReadAll(client)
			got <- all
		}()
		if rest, err = w.Write(rest, patience); err != nil || len(rest) > 0 {
			t.Fatalf("%d frames are left, %v", len(rest), err)
		}
		<-farewell(w, gateway.Left, nil)
		closeInOrder(w.out)
		want := string(frame) + string(frameOf(opPong, []byte("new"))) + string(closeFrame(gateway.Left))
		if all := string(<-got); all != want {
			t.Errorf("%d bytes arrived that end in %.20q", len(all), all[max(0, len(all)-20):])
		}
	})
}

func TestSender_TheFarewellEndsTheFrameThatWasBegun(t *testing.T) {
	eachOutlet(t, func(t *testing.T, w *sender, client *net.TCPConn) {
		frame := bytes.Repeat([]byte("d"), 300_000)
		rest, err := w.Write([][]byte{frame}, 0)
		if err != nil || len(rest) == 0 {
			t.Fatalf("%d frames are left, %v", len(rest), err)
		}
		said := farewell(w, gateway.SlowConsumer, rest[0])
		if _, err := w.Write([][]byte{[]byte("too late")}, 0); err == nil {
			t.Error("a write after the close is no error")
		}
		got := make(chan []byte)
		go func() {
			all, _ := io.ReadAll(client)
			got <- all
		}()
		<-said
		closeInOrder(w.out)
		if all := <-got; string(all) != string(frame)+string(closeFrame(gateway.SlowConsumer)) {
			t.Errorf("%d bytes arrived that end in %.20q", len(all), all[max(0, len(all)-20):])
		}
	})
}

func TestSender_GivesUpOnAPeerThatDoesNotTakeTheFarewell(t *testing.T) {
	eachOutlet(t, func(t *testing.T, w *sender, client *net.TCPConn) {
		rest, err := w.Write([][]byte{make([]byte, 10_000_000)}, 0)
		if err != nil || len(rest) == 0 {
			t.Fatalf("%d frames are left, %v", len(rest), err)
		}
		began := time.Now()
		said := farewell(w, gateway.SlowConsumer, rest[0])
		if took := time.Since(began); took >= farewellPatience {
			t.Errorf("part blocked for %v", took)
		}
		<-said
		if took := time.Since(began); took < farewellPatience || took > farewellPatience+patience/2 {
			t.Errorf("given up after %v", took)
		}
		if n, err := w.out.try([]byte("x")); n > 0 || err == nil {
			t.Error("the connection is still open")
		}
	})
}

func TestSender_TheAnswerToTheHandshakeComesFirst(t *testing.T) {
	for name, first := range map[string]func(*sender){
		"frames":   func(w *sender) { w.Write([][]byte{[]byte("one"), []byte("two")}, patience) },
		"pong":     func(w *sender) { w.pong([]byte("old")); w.pong([]byte("new")) },
		"farewell": func(w *sender) {},
		"itself":   func(w *sender) { w.sendAnswer() },
	} {
		t.Run(name, func(t *testing.T) {
			eachOutlet(t, func(t *testing.T, w *sender, client *net.TCPConn) {
				w.begin([]byte("answer"))
				first(w)
				<-farewell(w, gateway.Left, nil)
				closeInOrder(w.out)
				want := "answer" + map[string]string{"frames": "onetwo", "pong": "\x8a\x03old\x8a\x03new"}[name] + string(closeFrame(gateway.Left))
				if all, _ := io.ReadAll(client); string(all) != want {
					t.Errorf("got %q, want %q", all, want)
				}
			})
		})
	}
}

func TestSender_AnUnfinishedFrameIsNotFollowedByACloseFrame(t *testing.T) {
	eachOutlet(t, func(t *testing.T, w *sender, client *net.TCPConn) {
		if rest, err := w.Write([][]byte{make([]byte, 10_000_000)}, 0); err != nil || len(rest) == 0 {
			t.Fatalf("%d frames are left, %v", len(rest), err)
		}
		said := farewell(w, gateway.Draining, nil)
		<-said
		if all, _ := io.ReadAll(client); bytes.Contains(all, closeFrame(gateway.Draining)) {
			t.Error("a close frame came inside of another")
		}
	})
}

func TestSender_WriteAllocatesNothing(t *testing.T) {
	for _, count := range []int{1, 16} {
		w, frames := writing(t, count)
		if got := testing.AllocsPerRun(200, func() { mustSend(t, w, frames) }); got > 0 {
			t.Errorf("writing %d frames allocates %v times", count, got)
		}
	}
}

func BenchmarkSender_Write(b *testing.B) {
	for _, count := range []int{1, 16} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			w, frames := writing(b, count)
			b.ReportAllocs()
			for b.Loop() {
				mustSend(b, w, frames)
			}
		})
	}
}

// writing returns a sender with a peer that reads, and frames to write.
func writing(t testing.TB, count int) (*sender, [][]byte) {
	server, client := connect(t)
	w := &sender{out: socketOf(t, server), shared: &shared{}}
	read := make(chan struct{})
	go func() {
		defer close(read)
		io.Copy(io.Discard, struct{ io.Reader }{client})
	}()
	t.Cleanup(func() { w.out.abort(); <-read })
	var frames [][]byte
	for range count {
		frames = append(frames, frameOf(opText, make([]byte, 128)))
	}
	return w, frames
}

func mustSend(t testing.TB, w *sender, frames [][]byte) {
	for len(frames) > 0 {
		rest, err := w.Write(frames, patience)
		must(t, err)
		frames = rest
	}
}
