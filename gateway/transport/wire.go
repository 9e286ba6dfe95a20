package transport

import (
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tidegate/gateway"
)

// wire is what the WebSocket library, by a parser, reads frames from and writes its
// control frames to, and where the session's own frames go past the library.
// It sees to it that a control frame never lands inside another frame, and that
// nothing follows the close frame.
//
// Reading belongs to one goroutine, sending to another; everything else may be
// called at any time.
type wire struct {
	// Fixed at birth.
	net.Conn
	out     outlet
	shared  *memory
	session *gateway.Session // nil before begin
	deflate *Deflate         // nil: the peer's messages are not compressed
	opened  time.Time

	// Owned by the reading goroutine.
	in        intake
	inMessage bool  // a message has begun and not ended: what comes is no sign of life
	inFrame   bool  // a frame has begun, or may have
	restless  bool  // reads wait for a frame to begin, rather than end with errSilent
	lively    bool  // they do for now: the peer was heard often, lately
	waited    bool  // a read has waited inside of a frame
	readErr   error // of the last read

	heard atomic.Int64 // when the peer last gave a sign of life, since opened

	// Guarded by mu, which is only held for writes that do not block.
	mu        sync.Mutex
	midFrame  bool          // a frame of the session's has been begun
	owed      []byte        // what is due before the next frame: the handshake's answer, or a control frame of the library's
	owedBegun bool          // it is the answer, or the rest of a frame: nothing else takes its place
	closed    []byte        // the library's answer to a close frame
	deaf      bool          // the library has had enough
	closing   bool          // only the farewell is written any more
	parted    bool          // the farewell has been written, or given up
	parting   chan struct{} // closed when parted; nil: nobody waits for that
}

const (
	farewellPatience = 5 * time.Second // for a peer to take the close frame
	lingerPatience   = 2 * time.Second // for a peer to answer it
)

func (w *wire) begin(conn net.Conn, early []byte) {
	w.Conn, w.out, w.opened = conn, outletOf(conn, w.shared.wall), time.Now()
	w.in.begin(conn, early, &w.shared.blocks)
	w.restless = true
}

// Read is called by the library.
func (w *wire) Read(p []byte) (int, error) {
	n, fresh, err := w.await(p)
	w.inFrame = w.inFrame || n > 0
	if fresh > 0 && !w.inMessage {
		w.hear()
	}
	w.readErr = err
	return n, err
}

func (w *wire) hear() { w.heard.Store(int64(time.Since(w.opened))) }

// Write is called by the library, with one whole control frame: its writer has
// room for the longest. A close frame is not the library's to send: the
// session's reason says why, and a frame may have to be ended before.
func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.closing:
	case p[0]&opcodeMask == opClose:
		w.closed = slices.Clone(p)
	default:
		w.owe(p)
	}
	return len(p), nil
}

// owe sends a pong as soon as it can be. Of several that are due, the newest is
// enough (RFC 6455, section 5.5.3). An error shows in the next send.
func (w *wire) owe(p []byte) {
	if !w.midFrame {
		w.settle() // the answer to the handshake must not stand in its way
	}
	if !w.owedBegun {
		w.owed = append(w.owed[:0], p...)
	}
	if !w.midFrame {
		w.settle()
	}
}

// settle sends what is owed; a false answer means that not all was taken.
func (w *wire) settle() (bool, error) {
	if len(w.owed) == 0 {
		return true, nil
	}
	n, err := w.out.try(w.owed)
	if n == len(w.owed) {
		w.owed, w.owedBegun = nil, false
		return true, nil
	}
	w.owed = w.owed[n:]
	w.owedBegun = w.owedBegun || n > 0
	return false, err
}

// answer sends the answer to the handshake by itself, and reports whether all of it
// was taken.
func (w *wire) answer() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	settled, _ := w.settle()
	return settled
}

// Close is called by the library when it has had enough: reading ends then. The
// connection stays open for the farewell.
func (w *wire) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deaf = true
	return w.Conn.SetReadDeadline(time.Unix(1, 0))
}

// send is gateway.Conn's Write.
func (w *wire) send(frames [][]byte, wait time.Duration) ([][]byte, error) {
	rest, err := w.try(frames)
	for deadline := time.Now().Add(wait); wait > 0 && err == nil && len(rest) > 0; {
		switch err := w.out.await(deadline); {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return rest, nil
		case err != nil:
			return rest, err
		}
		rest, err = w.try(rest)
	}
	return rest, err
}

// try writes what is taken at once.
func (w *wire) try(frames [][]byte) ([][]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closing {
		return frames, net.ErrClosed
	}
	at, written, err := w.write(frames)
	if at > 0 || written > 0 {
		w.midFrame = written > 0
	}
	if at < len(frames) {
		return tailOf(frames, at, written), err
	}
	_, err = w.settle()
	return nil, err
}

// write writes frames, behind what is owed, as scratch does.
func (w *wire) write(frames [][]byte) (at, written int, err error) {
	if w.midFrame || len(w.owed) == 0 {
		return w.shared.scratch.write(w.out, frames)
	}
	all := append([][]byte{w.owed}, frames...)
	at, written, err = w.shared.scratch.write(w.out, all)
	if at == 0 {
		w.owed, w.owedBegun = w.owed[written:], w.owedBegun || written > 0
		return 0, 0, err
	}
	w.owed, w.owedBegun = nil, false
	return at - 1, written, err
}

// tailOf returns the frames from at on, without the first bytes of the first.
func tailOf(frames [][]byte, at, written int) [][]byte {
	tail := frames[at:]
	if written > 0 {
		tail = slices.Clone(tail)
		tail[0] = tail[0][written:]
	}
	return tail
}

// part sends the farewell: rest, which ends a frame that has been begun, and the
// close frame. It never blocks; only the first call counts.
func (w *wire) part(reason gateway.Reason, rest []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closing {
		return
	}
	w.closing = true
	if reason.Code == gateway.Lost.Code || w.midFrame && len(rest) == 0 {
		w.giveUp()
		return
	}
	last := w.farewell(reason, rest)
	n, err := w.out.try(last)
	switch {
	case err != nil:
		w.giveUp()
	case n == len(last):
		w.noteParted()
	default:
		w.Conn.SetReadDeadline(time.Now().Add(farewellPatience + lingerPatience))
		go w.partSlowly(last[n:])
	}
}

func (w *wire) farewell(reason gateway.Reason, rest []byte) []byte {
	last := slices.Clone(rest)
	if w.owedBegun {
		last = append(last, w.owed...)
	}
	if reason.Code == gateway.Left.Code && w.closed != nil {
		return append(last, w.closed...)
	}
	return append(last, closeFrame(reason)...)
}

// partSlowly sends what the peer has not taken of the farewell. Whoever lingers
// waits for it.
func (w *wire) partSlowly(last []byte) {
	defer w.shared.wall.Catch("say farewell", func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.giveUp()
	})
	deadline := time.Now().Add(farewellPatience)
	for {
		err := w.out.await(deadline)
		w.mu.Lock()
		if err == nil {
			var n int
			n, err = w.out.try(last)
			last = last[n:]
		}
		if err != nil {
			w.giveUp()
		} else if len(last) == 0 {
			w.noteParted()
		}
		parted := w.parted
		w.mu.Unlock()
		if parted {
			return
		}
	}
}

// noteParted leaves the peer some time to answer. The caller holds w.mu.
func (w *wire) noteParted() {
	w.Conn.SetReadDeadline(time.Now().Add(lingerPatience))
	w.sayParted()
}

// giveUp closes without a farewell. The caller holds w.mu.
func (w *wire) giveUp() {
	w.out.abort()
	w.sayParted()
}

func (w *wire) sayParted() {
	w.parted = true
	if w.parting != nil {
		close(w.parting)
		w.parting = nil
	}
}

// awaitParted waits for the end of the farewell. If the session has not even
// begun it in time, the connection is closed without.
func (w *wire) awaitParted() {
	w.mu.Lock()
	if w.parted {
		w.mu.Unlock()
		return
	}
	parting := make(chan struct{})
	w.parting = parting
	w.mu.Unlock()

	timer := time.NewTimer(2*farewellPatience + lingerPatience)
	defer timer.Stop()
	select {
	case <-parting:
	case <-timer.C:
		w.part(gateway.Lost, nil)
	}
}

func (w *wire) isClosing() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closing
}
