package websocket

import (
	"errors"
	"net"
	"os"
	"slices"
	"time"

	"tidegate/broker/lock"
	"tidegate/gateway"
)

// sender is the writing half of a connection. It writes the session's data, which comes as
// complete frames, and control frames. It makes sure that no frame is written inside
// another, and that nothing follows the close frame.
//
// At most one goroutine at a time may call Write; all other methods are safe for concurrent
// use.
type sender struct {
	// Fixed at birth.
	out    outlet
	shared *shared

	// Guarded by mu, which is never held during a write that blocks.
	mu        lock.Mutex[lock.Sender]
	owed      []byte  // written before the next frame: the answer to the handshake, or a pong
	answer    *[]byte // the answer to the peer's close frame; nil if none has arrived
	owedBegun bool    // owed is the answer, or part of it is written: it must not be replaced
	midFrame  bool    // part of a frame of the session has been written
	closing   bool    // nothing but the farewell is written any more
	parted    bool    // the farewell has been written or abandoned
}

// farewellPatience is how long a peer may take to read the close frame.
const farewellPatience = 5 * time.Second

// Write implements gateway.Conn.
func (s *sender) Write(frames [][]byte, wait time.Duration) ([][]byte, error) {
	rest, err := s.try(frames)
	for deadline := time.Now().Add(wait); wait > 0 && err == nil && len(rest) > 0; {
		switch err := s.out.await(deadline); {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return rest, nil
		case err != nil:
			return rest, err
		}
		rest, err = s.try(rest)
	}
	return rest, err
}

// try writes what the outlet takes immediately, and returns the rest.
func (s *sender) try(frames [][]byte) ([][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return frames, net.ErrClosed
	}
	at, written, err := s.write(frames)
	if at > 0 || written > 0 {
		s.midFrame = written > 0
	}
	if at < len(frames) {
		return tailOf(frames, at, written), err
	}
	_, err = s.sendOwed()
	return nil, err
}

// write writes what is owed, and then frames, as scratch.write does.
func (s *sender) write(frames [][]byte) (at, written int, err error) {
	if s.midFrame || len(s.owed) == 0 {
		return s.shared.scratch.write(s.out, frames)
	}
	all := append([][]byte{s.owed}, frames...)
	at, written, err = s.shared.scratch.write(s.out, all)
	if at == 0 {
		s.owed, s.owedBegun = s.owed[written:], s.owedBegun || written > 0
		return 0, 0, err
	}
	s.owed, s.owedBegun = nil, false
	return at - 1, written, err
}

// tailOf returns frames[at:] without the first written bytes of the first frame.
func tailOf(frames [][]byte, at, written int) [][]byte {
	tail := frames[at:]
	if written > 0 {
		tail = slices.Clone(tail)
		tail[0] = tail[0][written:]
	}
	return tail
}

// begin stores the answer to the handshake, which is written together with the first frames.
func (s *sender) begin(answer []byte) { s.owed, s.owedBegun = answer, true }

// sendAnswer writes the answer to the handshake by itself, and reports whether the outlet
// has taken all of it.
func (s *sender) sendAnswer() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	all, _ := s.sendOwed()
	return all
}

// pong sends a pong as soon as possible. If several are due, only the newest is sent (RFC
// 6455, section 5.5.3). The next Write returns any error.
func (s *sender) pong(payload []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return
	}
	if !s.midFrame {
		s.sendOwed() // an unsent answer to the handshake would displace the pong
	}
	if !s.owedBegun {
		s.owed = frameOf(opPong, payload)
	}
	if !s.midFrame {
		s.sendOwed()
	}
}

// sendOwed writes what is owed, and reports whether the outlet has taken all of it.
func (s *sender) sendOwed() (bool, error) {
	if len(s.owed) == 0 {
		return true, nil
	}
	n, err := s.out.try(s.owed)
	if n == len(s.owed) {
		s.owed, s.owedBegun = nil, false
		return true, nil
	}
	s.owed = s.owed[n:]
	s.owedBegun = s.owedBegun || n > 0
	return false, err
}

// noteClose stores the answer to the peer's close frame, which has the same payload (RFC
// 6455, section 5.5.1). It is sent when the session ends with gateway.Left.
func (s *sender) noteClose(payload []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := frameOf(opClose, payload)
	s.answer = &answer
}

// part sends the farewell: rest, which completes a frame that has been begun, and the close
// frame. It never blocks. Only the first call has an effect. It calls parted, without
// holding a lock, once the farewell has been written and the stream ended, or the farewell
// was abandoned and the connection closed.
func (s *sender) part(reason gateway.Reason, rest []byte, parted func()) {
	left, first := s.beginFarewell(reason, rest)
	switch {
	case !first:
	case len(left) == 0:
		parted()
	default:
		go s.partSlowly(left, parted)
	}
}

// beginFarewell begins the farewell, and returns the part that the outlet has not taken.
func (s *sender) beginFarewell(reason gateway.Reason, rest []byte) (left []byte, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return nil, false
	}
	s.closing = true
	if reason.Is(gateway.Lost) || s.midFrame && len(rest) == 0 {
		s.giveUp()
		return nil, true
	}
	return s.goOn(s.farewell(reason, rest)), true
}

func (s *sender) farewell(reason gateway.Reason, rest []byte) []byte {
	last := slices.Clone(rest)
	if s.owedBegun {
		last = append(last, s.owed...)
	}
	if reason.Is(gateway.Left) && s.answer != nil {
		return append(last, *s.answer...)
	}
	return append(last, closeFrame(reason)...)
}

// goOn writes what the outlet takes of the farewell immediately, and returns the rest.
func (s *sender) goOn(last []byte) []byte {
	n, err := s.out.try(last)
	switch {
	case err != nil:
		s.giveUp()
		return nil
	case n == len(last):
		s.parted = true
		s.out.shut()
		return nil
	}
	return last[n:]
}

// partSlowly writes the rest of the farewell, waiting for the peer for at most
// farewellPatience.
func (s *sender) partSlowly(last []byte, parted func()) {
	defer s.shared.wall.Catch("say farewell", nil)
	defer parted()
	defer s.abandon()
	deadline := time.Now().Add(farewellPatience)
	for len(last) > 0 && s.out.await(deadline) == nil {
		last = s.advance(last)
	}
}

func (s *sender) advance(last []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.goOn(last)
}

// abandon gives up a farewell that has not been written completely.
func (s *sender) abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.parted {
		s.giveUp()
	}
}

// giveUp closes the connection without a farewell.
func (s *sender) giveUp() {
	s.parted = true
	s.out.abort()
}

func (s *sender) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

func (s *sender) hasParted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.parted
}
