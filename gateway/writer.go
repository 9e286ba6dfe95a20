package gateway

import (
	"slices"
	"time"

	"tidegate/gateway/internal/outbox"
)

const (
	flushBytes = 256 << 10              // what a flusher takes from a session at once
	stallBytes = 64 << 10               // what a stalled session's writer takes at once
	stallSlice = 500 * time.Millisecond // how long it waits before it looks around
)

// flush writes what waits in a session's outbox. A flusher calls it; buf is its scratch
// memory.
func flush(o *outbox.Outbox, buf [][]byte) (scratch [][]byte) { return o.Owner.(*Session).flush(buf) }

// flush writes what waits, as far as the kernel takes it at once.
func (s *Session) flush(buf [][]byte) (scratch [][]byte) {
	defer s.gateway.wall.Catch("write to a session", s.crash)
	taking := s.out.Take(buf[:0], flushBytes, &s.gateway.outboxes)
	left, err := s.write(taking, 0)
	switch {
	case err != nil:
		s.lose(err)
	case len(left) > 0:
		s.goOn(func() { s.writeStalled(slices.Clone(left), isPart(left, taking.Frames)) })
		return nil // left is a part of it
	default:
		s.finishTurn()
	}
	clear(taking.Frames)
	return taking.Frames
}

// writeStalled writes to a peer that does not keep up, until it does or is given
// up. left is what has not been written; part says that its first frame is not
// whole.
func (s *Session) writeStalled(left [][]byte, part partial) {
	progress := time.Now()
	for {
		before := left
		var err error
		left, err = s.conn.Write(before, s.out.Patience(stallSlice, time.Now()))
		part = part.after(before, left)
		now := time.Now()
		if err != nil {
			s.lose(err)
			return
		}
		if sizeOf(left) < sizeOf(before) {
			progress = now
		}
		if len(left) > 0 {
			switch outlook, why := s.out.GiveUp(progress, now); outlook {
			case outbox.TooSlow:
				s.Close(SlowConsumer)
				s.closeConn(SlowConsumer, part.of(left))
				return
			case outbox.GivenUp:
				s.closeConn(ReasonOf(why), part.of(left))
				return
			}
			continue
		}
		taking := s.out.Take(nil, stallBytes, &s.gateway.outboxes)
		if len(taking.Frames) == 0 {
			s.finishTurn()
			return
		}
		s.count(taking)
		left, part = taking.Frames, whole
	}
}

// write sends a batch and counts it as delivered.
func (s *Session) write(b outbox.Batch, wait time.Duration) ([][]byte, error) {
	if len(b.Frames) == 0 {
		return nil, nil
	}
	left, err := s.conn.Write(b.Frames, wait)
	if err == nil {
		s.count(b)
		if len(left) > 0 {
			s.out.Stall()
		}
	}
	return left, err
}

func (s *Session) count(b outbox.Batch) {
	metrics := s.gateway.metrics
	metrics.Messages.Bytes.Add(float64(sizeOf(b.Frames)))
	if b.Messages > 0 {
		s.dialect.delivered.Add(float64(b.Messages))
	}
	if !b.Sampled.IsZero() {
		metrics.Messages.DeliverySeconds.Observe(time.Since(b.Sampled).Seconds())
	}
	b.Written()
}

func (s *Session) finishTurn() {
	switch turn, why := s.out.Release(); turn {
	case outbox.Again:
		s.gateway.line.Queue(&s.out)
	case outbox.Finish:
		s.closeConn(ReasonOf(why), nil)
	}
}

// lose ends a session whose connection broke.
func (s *Session) lose(err error) {
	reason := ReasonOf(err)
	s.Close(reason)
	s.out.Abandon()
	s.closeConn(reason, nil)
}

// partial says whether the first of some frames lacks its beginning, which has
// been written.
type partial bool

const whole partial = false

func isPart(left, of [][]byte) partial { return whole.after(of, left) }

// after returns whether left, the tail of before that was not written, begins
// with a part of a frame.
func (p partial) after(before, left [][]byte) partial {
	if len(left) == 0 {
		return whole
	}
	at := len(before) - len(left)
	return partial(len(left[0]) < len(before[at])) || at == 0 && p
}

// of returns the rest of the frame that has been begun, or nil.
func (p partial) of(left [][]byte) []byte {
	if !p {
		return nil
	}
	return left[0]
}

func sizeOf(frames [][]byte) int {
	n := 0
	for _, frame := range frames {
		n += len(frame)
	}
	return n
}
