package transport

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"testing"
	"time"

	"tidegate/gateway"
)

// connect returns the two ends of a TCP connection.
func connect(t testing.TB) (server, client *net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dialed, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialed.Close(); accepted.Close() })
	return accepted.(*net.TCPConn), dialed.(*net.TCPConn)
}

// blocking hides a connection's type, so that it gets a relay.
type blocking struct{ net.Conn }

// eachOutlet runs a test on a wire of either kind.
func eachOutlet(t *testing.T, test func(t *testing.T, w *wire, client *net.TCPConn)) {
	for name, hide := range map[string]func(*net.TCPConn) net.Conn{
		"socket": func(c *net.TCPConn) net.Conn { return c },
		"relay":  func(c *net.TCPConn) net.Conn { return blocking{c} },
	} {
		t.Run(name, func(t *testing.T) {
			server, client := connect(t)
			server.SetWriteBuffer(16 << 10)
			client.SetReadBuffer(16 << 10)
			w := &wire{shared: &memory{}}
			w.begin(hide(server), nil)
			test(t, w, client)
		})
	}
}

func TestWire_WritesEveryByteInOrder(t *testing.T) {
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
	eachOutlet(t, func(t *testing.T, w *wire, client *net.TCPConn) {
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
			if rest, err = w.send(rest, wait); err != nil {
				t.Fatal(err)
			}
			stalls++
		}
		w.out.close(time.Now().Add(patience))
		if !bytes.Equal(<-got, want) {
			t.Error("what arrived is not what was written")
		}
		if stalls < 2 {
			t.Errorf("the peer never stalled: the test shows nothing")
		}
	})
}

func TestWire_LeavesTheCallersFramesAlone(t *testing.T) {
	eachOutlet(t, func(t *testing.T, w *wire, client *net.TCPConn) {
		frames := [][]byte{make([]byte, 10_000_000), []byte("next")}
		rest, err := w.send(frames, 0)
		if err != nil || len(rest) != 2 || len(rest[0]) >= 10_000_000 {
			t.Fatalf("%d frames are left, %v", len(rest), err)
		}
		if len(frames[0]) != 10_000_000 || string(frames[1]) != "next" {
			t.Error("the frames were changed")
		}
	})
}

func TestWire_WaitsNoLongerThanAsked(t *testing.T) {
	eachOutlet(t, func(t *testing.T, w *wire, client *net.TCPConn) {
		frames := [][]byte{make([]byte, 10_000_000)}
		for _, wait := range []time.Duration{0, 50 * time.Millisecond} {
			began := time.Now()
			rest, err := w.send(frames, wait)
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

func TestWire_AControlFrameWaitsForTheFrameThatWasBegun(t *testing.T) {
	eachOutlet(t, func(t *testing.T, w *wire, client *net.TCPConn) {
		frame := bytes.Repeat([]byte("d"), 1_000_000)
		rest, err := w.send([][]byte{frame}, 0)
		if err != nil || len(rest) == 0 {
			t.Fatalf("%d frames are left, %v", len(rest), err)
		}
		w.Write([]byte("old pong"))
		w.Write([]byte("pong"))
		got := make(chan []byte)
		go func() {
			all, _ := io.ReadAll(client)
			got <- all
		}()
		if rest, err = w.send(rest, patience); err != nil || len(rest) > 0 {
			t.Fatalf("%d frames are left, %v", len(rest), err)
		}
		w.part(gateway.Left, nil)
		w.out.close(time.Now().Add(patience))
		want := string(frame) + "pong" + string(closeFrame(gateway.Left))
		if all := string(<-got); all != want {
			t.Errorf("%d bytes arrived that end in %.20q", len(all), all[max(0, len(all)-20):])
		}
	})
}

func TestWire_TheFarewellEndsTheFrameThatWasBegun(t *testing.T) {
	eachOutlet(t, func(t *testing.T, w *wire, client *net.TCPConn) {
		frame := bytes.Repeat([]byte("d"), 1_000_000)
		rest, err := w.send([][]byte{frame}, 0)
		if err != nil || len(rest) == 0 {
			t.Fatalf("%d frames are left, %v", len(rest), err)
		}
		w.part(gateway.SlowConsumer, rest[0])
		if _, err := w.send([][]byte{[]byte("too late")}, 0); err == nil {
			t.Error("a write after the close is no error")
		}
		got := make(chan []byte)
		go func() {
			all, _ := io.ReadAll(client)
			got <- all
		}()
		w.awaitParted()
		w.out.close(time.Now().Add(patience))
		if all := <-got; string(all) != string(frame)+string(closeFrame(gateway.SlowConsumer)) {
			t.Errorf("%d bytes arrived that end in %.20q", len(all), all[max(0, len(all)-20):])
		}
	})
}

func TestWire_GivesUpOnAPeerThatDoesNotTakeTheFarewell(t *testing.T) {
	eachOutlet(t, func(t *testing.T, w *wire, client *net.TCPConn) {
		rest, err := w.send([][]byte{make([]byte, 10_000_000)}, 0)
		if err != nil || len(rest) == 0 {
			t.Fatalf("%d frames are left, %v", len(rest), err)
		}
		began := time.Now()
		w.part(gateway.SlowConsumer, rest[0])
		if took := time.Since(began); took > farewellPatience/2 {
			t.Errorf("part blocked for %v", took)
		}
		w.awaitParted()
		if took := time.Since(began); took < farewellPatience || took > 2*farewellPatience {
			t.Errorf("given up after %v", took)
		}
		if _, err := w.Conn.Read(make([]byte, 1)); err == nil {
			t.Error("the connection is still open")
		}
	})
}

func TestWire_TheAnswerToTheHandshakeComesFirst(t *testing.T) {
	for name, first := range map[string]func(*wire){
		"frames":   func(w *wire) { w.send([][]byte{[]byte("one"), []byte("two")}, patience) },
		"pong":     func(w *wire) { w.Write([]byte("old pong")); w.Write([]byte("pong")) },
		"farewell": func(w *wire) {},
		"itself":   func(w *wire) { w.answer() },
	} {
		t.Run(name, func(t *testing.T) {
			eachOutlet(t, func(t *testing.T, w *wire, client *net.TCPConn) {
				w.owed, w.owedBegun = []byte("answer"), true
				first(w)
				w.part(gateway.Left, nil)
				w.out.close(time.Now().Add(patience))
				want := "answer" + map[string]string{"frames": "onetwo", "pong": "old pongpong"}[name] + string(closeFrame(gateway.Left))
				if all, _ := io.ReadAll(client); string(all) != want {
					t.Errorf("got %q, want %q", all, want)
				}
			})
		})
	}
}

func TestWire_AnUnfinishedFrameIsNotFollowedByACloseFrame(t *testing.T) {
	eachOutlet(t, func(t *testing.T, w *wire, client *net.TCPConn) {
		if rest, err := w.send([][]byte{make([]byte, 10_000_000)}, 0); err != nil || len(rest) == 0 {
			t.Fatalf("%d frames are left, %v", len(rest), err)
		}
		w.part(gateway.Draining, nil)
		w.awaitParted()
		if all, _ := io.ReadAll(client); bytes.Contains(all, closeFrame(gateway.Draining)) {
			t.Error("a close frame came inside of another")
		}
	})
}

func TestWire_WriteAllocatesNothing(t *testing.T) {
	for _, count := range []int{1, 16} {
		w, frames := writing(t, count)
		if got := testing.AllocsPerRun(200, func() { mustSend(t, w, frames) }); got > 0 {
			t.Errorf("writing %d frames allocates %v times", count, got)
		}
	}
}

func BenchmarkWire_Write(b *testing.B) {
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

// writing returns a wire with a peer that reads, and frames to write.
func writing(t testing.TB, count int) (*wire, [][]byte) {
	server, client := connect(t)
	w := &wire{shared: &memory{}}
	w.begin(server, nil)
	read := make(chan struct{})
	go func() {
		defer close(read)
		io.Copy(io.Discard, struct{ io.Reader }{client})
	}()
	t.Cleanup(func() { server.Close(); <-read })
	var frames [][]byte
	for range count {
		frames = append(frames, frameOf(opText, make([]byte, 128)))
	}
	return w, frames
}

func mustSend(t testing.TB, w *wire, frames [][]byte) {
	for len(frames) > 0 {
		rest, err := w.send(frames, patience)
		if err != nil {
			t.Fatal(err)
		}
		frames = rest
	}
}

// BenchmarkWebSocket_Connect is a handshake, the welcome and a subscription, for both
// sides.
func BenchmarkWebSocket_Connect(b *testing.B) {
	n := startNode(b, gateway.Config{Limits: gateway.Limits{MessageBytes: 64 << 10}})
	b.ReportAllocs()
	for b.Loop() {
		r := n.dialUpgraded()
		r.send(masked(final|opText, `{"type":"subscribe","id":1,"channel":"idle"}`))
		r.expectFrame(opText)
		r.Conn.Close()
	}
	n.awaitSessions(0)
}

// BenchmarkWebSocket_Idle reports what an idle session with a subscription
// costs in heap and stacks; the client's side of it is in it, too small to
// matter: a bare socket.
func BenchmarkWebSocket_Idle(b *testing.B) {
	const sessions = 1000
	n := startNode(b, gateway.Config{Limits: gateway.Limits{MessageBytes: 64 << 10}})
	for b.Loop() {
		heap, stacks := heapAndStacks()
		var peers []net.Conn
		for range sessions {
			r := n.dialUpgraded()
			r.send(masked(final|opText, `{"type":"subscribe","id":1,"channel":"idle"}`))
			r.expectFrame(opText)
			r.r = nil
			peers = append(peers, r.Conn)
		}
		heapThen, stacksThen := heapAndStacks()
		b.ReportMetric((heapThen-heap)/sessions, "heap-B/session")
		b.ReportMetric((stacksThen-stacks)/sessions, "stack-B/session")
		for _, peer := range peers {
			peer.Close()
		}
		n.awaitSessions(0)
	}
}

func heapAndStacks() (heap, stacks float64) {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapInuse), float64(m.StackInuse)
}
