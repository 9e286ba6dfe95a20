package gateway

import (
	"slices"
	"time"

	"tidegate/gateway/internal/outbox"
)

const (
	flushBytes = 256 << 10              // the most that a flusher takes from a session at once
	stallBytes = 64 << 10               // the most that the writer of a stalled session takes at once
	stallSlice = 500 * time.Millisecond // the longest that one of its writes waits
)

// writer sends to a session's client. Frames wait in an outbox until they are written. All
// methods, except those of Conn, are safe for concurrent use.
type writer struct {
	out     outbox.Outbox // its Owner is the writerOwner
	conn    Conn          // set by Session.Attach, before out is attached
	dialect *dialect      // immutable
}

// writerOwner is the session of a writer.
type writerOwner interface {
	Close(Reason)
	goOn(func())
	crash()
}

func (w *writer) owner() writerOwner { return w.out.Owner.(writerOwner) }

// push queues a frame. A nil frame is ignored.
func (w *writer) push(frame []byte) {
	if frame == nil {
		return
	}
	if w.add(frame) == outbox.Wakes {
		w.dialect.line.Queue(&w.out)
	}
}

// park is like push for a caller that calls the line's Help afterwards.
func (w *writer) park(frame []byte) {
	if frame != nil && w.add(frame) == outbox.Wakes {
		w.dialect.line.Park(&w.out)
	}
}

func (w *writer) add(frame []byte) outbox.Verdict {
	v := w.out.Push(frame, w.dialect.boxes)
	if v == outbox.Full {
		w.owner().Close(SlowConsumer)
	}
	return v
}

// fill ends a hold of the outbox. The frames go before those that have arrived meanwhile.
func (w *writer) fill(frames [][]byte) {
	if w.out.Fill(frames, w.dialect.boxes) {
		w.dialect.line.Queue(&w.out)
	}
}

// flush writes what is waiting, as far as the kernel accepts it at once.
func (w *writer) flush(buf [][]byte) (scratch [][]byte) {
	defer w.dialect.wall.Catch("write to a session", w.owner().crash)
	taking := w.out.Take(buf[:0], flushBytes, w.dialect.boxes)
	left, err := w.write(taking.Frames, 0)
	switch {
	case err != nil:
		w.lose(err)
	case len(left) > 0:
		w.out.Stall()
		w.owner().goOn(func() { w.writeStalled(taking, slices.Clone(left)) })
		return nil // left is a part of it
	default:
		w.count(taking)
		w.finishTurn()
	}
	clear(taking.Frames)
	return taking.Frames
}

// writeStalled writes to a peer that does not keep up, until it does or is given up. left is
// what has not been written of taking.
func (w *writer) writeStalled(taking outbox.Batch, left [][]byte) {
	progress, part := time.Now(), whole.after(taking.Frames, left)
	taking.Frames = nil // what is written need not be kept
	for {
		before := left
		var err error
		left, err = w.write(before, w.out.Patience(stallSlice, time.Now()))
		part = part.after(before, left)
		now := time.Now()
		if err != nil {
			w.lose(err)
			return
		}
		if sizeOf(left) < sizeOf(before) {
			progress = now
		}
		if len(left) > 0 {
			switch outlook, why := w.out.GiveUp(progress, now); outlook {
			case outbox.TooSlow:
				w.owner().Close(SlowConsumer)
				w.closeConn(SlowConsumer, part.of(left))
				return
			case outbox.GivenUp:
				w.closeConn(ReasonOf(why), part.of(left))
				return
			}
			continue
		}
		w.count(taking)
		if taking = w.out.Take(nil, stallBytes, w.dialect.boxes); len(taking.Frames) == 0 {
			w.finishTurn()
			return
		}
		left, part, taking.Frames = taking.Frames, whole, nil
	}
}

// write writes frames and returns what is left of them.
func (w *writer) write(frames [][]byte, wait time.Duration) ([][]byte, error) {
	if len(frames) == 0 {
		return nil, nil
	}
	left, err := w.conn.Write(frames, wait)
	if err == nil {
		w.dialect.metrics.Messages.Bytes.Add(float64(sizeOf(frames) - sizeOf(left)))
	}
	return left, err
}

// count counts a batch that has been written as delivered.
func (w *writer) count(b outbox.Batch) {
	if b.Messages > 0 {
		w.dialect.delivered.Add(float64(b.Messages))
	}
	if !b.Sampled.IsZero() {
		w.dialect.metrics.Messages.DeliverySeconds.Observe(time.Since(b.Sampled).Seconds())
	}
	b.Written()
}

func (w *writer) finishTurn() {
	switch turn, why := w.out.Release(); turn {
	case outbox.Again:
		w.dialect.line.Queue(&w.out)
	case outbox.Finish:
		w.closeConn(ReasonOf(why), nil)
	}
}

// lose ends a session whose connection has failed.
func (w *writer) lose(err error) {
	reason := ReasonOf(err)
	w.owner().Close(reason)
	w.out.Abandon()
	w.closeConn(reason, nil)
}

// closeConn closes the connection with the code and text that the protocol has for the
// reason.
func (w *writer) closeConn(reason Reason, rest []byte) {
	w.conn.Close(w.dialect.farewell(reason), rest)
}

// partial reports whether the first of some frames lacks its beginning, which was already
// written.
type partial bool

const whole partial = false

// after reports whether left, the unwritten tail of before, begins with a part of a frame.
func (p partial) after(before, left [][]byte) partial {
	if len(left) == 0 {
		return whole
	}
	at := len(before) - len(left)
	return partial(len(left[0]) < len(before[at])) || at == 0 && p
}

// of returns the rest of a frame that is partly written, or nil.
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
