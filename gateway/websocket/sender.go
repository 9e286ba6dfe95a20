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

// sender is the half of a connection that writes: the session's frames, which come
// as whole frames, and control frames. It sees to it that none of these lands
// inside another, and that nothing follows the close frame.
//
// send is called by one goroutine at a time; everything else may be called at any
// time.
type sender struct {
	// Fixed at birth.
	out    outlet
	shared *shared

	// Guarded by mu, which is only held for writes that do not block.
	mu        lock.Mutex[lock.Sender]
	owed      []byte  // what is due before the next frame: the handshake's answer, or a pong
	answer    *[]byte // to the peer's close frame; nil: none has come
	owedBegun bool    // it is the answer, or the rest of a frame: nothing else takes its place
	midFrame  bool    // a frame of the session's has been begun
	closing   bool    // only the farewell is written any more
	parted    bool    // the farewell has been written, or given up
}

// farewellPatience is how long a peer may take to take the close frame.
const farewellPatience = 5 * time.Second

// send is gateway.Conn's Write.
func (s *sender) send(frames [][]byte, wait time.Duration) ([][]byte, error) {
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

// try writes what is taken at once.
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

// write writes frames, behind what is owed, as scratch does.
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

// tailOf returns the frames from at on, without the first bytes of the first.
func tailOf(frames [][]byte, at, written int) [][]byte {
	tail := frames[at:]
	if written > 0 {
		tail = slices.Clone(tail)
		tail[0] = tail[0][written:]
	}
	return tail
}

// begin owes the answer to the handshake, which goes out with what is sent first.
func (s *sender) begin(answer []byte) { s.owed, s.owedBegun = answer, true }

// sendAnswer sends the answer to the handshake by itself, and reports whether all
// of it was taken.
func (s *sender) sendAnswer() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	all, _ := s.sendOwed()
	return all
}

// pong sends a pong as soon as it can be. Of several that are due, the newest is
// enough (RFC 6455, section 5.5.3). An error shows in the next send.
func (s *sender) pong(payload []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return
	}
	if !s.midFrame {
		s.sendOwed() // the answer to the handshake must not stand in its way
	}
	if !s.owedBegun {
		s.owed = frameOf(opPong, payload)
	}
	if !s.midFrame {
		s.sendOwed()
	}
}

// sendOwed sends what is owed, and reports whether all of it was taken.
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

// noteClose keeps the answer to the peer's close frame: the same (RFC 6455, section
// 5.5.1). It is sent when the session ends for that.
func (s *sender) noteClose(payload []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := frameOf(opClose, payload)
	s.answer = &answer
}

// part sends the farewell: rest, which ends a frame that has been begun, and the
// close frame. It never blocks; only the first call counts. Once the farewell has
// been written, and nothing can follow it, or it was given up and the connection is
// closed, parted is called, with no lock held.
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

// beginFarewell returns what has not been taken of the farewell.
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

// goOn sends what is taken of the farewell at once, and returns the rest.
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

// partSlowly sends what the peer has not taken of the farewell.
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

// abandon gives up a farewell that has not been written.
func (s *sender) abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.parted {
		s.giveUp()
	}
}

// giveUp closes without a farewell.
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
