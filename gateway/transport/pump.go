package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tidegate/gateway"
)

// Pump is the connection of a client that reads the body of a response. Write puts frames
// into a bounded buffer; Run, which the HTTP handler calls, writes them to the client. Only
// Run may block.
type Pump struct {
	// Fixed at birth.
	writer  io.Writer
	control *http.ResponseController
	framing framing
	wake    chan struct{} // capacity 1; wakes Run
	began   time.Time

	written atomic.Int64 // when a write last succeeded, in nanoseconds since began

	// Guarded by mu.
	mu      sync.Mutex
	waiting []byte        // the buffer
	held    int           // bytes in the buffer, or taken from it and not yet written
	partial bool          // the buffer ends with an incomplete frame
	room    chan struct{} // closed when Run has written; nil if nobody waits for that
	closing bool          // no more frames are added
	done    bool          // Run has returned: writer and control must not be used
}

var _ gateway.Conn = (*Pump)(nil)

// framing turns frames into parts of the response body. Its methods are called with the
// pump's mu held.
type framing interface {
	begin(frame []byte) []byte                        // returns the part for the body, a tail of the frame
	finish(waiting []byte) []byte                     // appends what follows a frame
	end(waiting []byte, reason gateway.Reason) []byte // appends the end of the body
}

// PumpBytes is how many bytes a pump buffers for a client that does not read. A cursor and
// the end of the body may exceed it.
const PumpBytes = 16 << 10

const farewellPatience = 5 * time.Second // timeout for sending the end to the client

var errEnded = errors.New("the session has ended")

// NewPump returns a pump that writes frames unchanged, and at the end the result of end.
func NewPump(w http.ResponseWriter, end func(gateway.Reason) []byte) *Pump {
	p := &Pump{}
	p.init(w, asFramed(end))
	return p
}

func (p *Pump) init(w http.ResponseWriter, f framing) {
	p.writer, p.control, p.framing, p.wake, p.began = w, http.NewResponseController(w), f, make(chan struct{}, 1), time.Now()
}

// asFramed is the framing that writes frames unchanged.
type asFramed func(gateway.Reason) []byte

func (asFramed) begin(frame []byte) []byte    { return frame }
func (asFramed) finish(waiting []byte) []byte { return waiting }

func (last asFramed) end(waiting []byte, reason gateway.Reason) []byte {
	return append(waiting, last(reason)...)
}

// Heard returns when a write to the client last succeeded. The client gives no other sign of
// life.
func (p *Pump) Heard() time.Time { return p.began.Add(time.Duration(p.written.Load())) }

// Write buffers frames for Run. If the buffer is full, it waits for room, at most for wait.
// It returns the frames that it has not taken.
func (p *Pump) Write(frames [][]byte, wait time.Duration) ([][]byte, error) {
	return WriteWithin(wait, frames, p.take)
}

// WriteWithin implements Conn.Write for a connection with a bounded buffer. take adds frames
// until the buffer is full and returns the rest. The channel room is closed when it is worth
// calling take again.
func WriteWithin(wait time.Duration, frames [][]byte, take func([][]byte) (rest [][]byte, room <-chan struct{}, err error)) ([][]byte, error) {
	rest, room, err := take(frames)
	if err != nil || len(rest) == 0 || wait <= 0 {
		return rest, err
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-room:
		case <-timer.C:
			return rest, nil
		}
		if rest, room, err = take(rest); err != nil || len(rest) == 0 {
			return rest, err
		}
	}
}

// take adds frames to the buffer until that is full, and returns the rest, of which the
// first may be the remainder of a frame. room is closed when take may be called again.
func (p *Pump) take(frames [][]byte) (rest [][]byte, room <-chan struct{}, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing {
		return frames, nil, errEnded
	}
	before := len(p.waiting) - p.held
	for len(frames) > 0 && len(p.waiting)-before < PumpBytes {
		frames = p.add(frames, PumpBytes-len(p.waiting)+before)
	}
	p.held = len(p.waiting) - before
	p.rouse()
	if len(frames) > 0 && p.room == nil {
		p.room = make(chan struct{})
	}
	return frames, p.room, nil
}

// add takes at most that many bytes of the first frame, or of the remainder of one, and
// returns what is left. The caller must hold p.mu.
func (p *Pump) add(frames [][]byte, most int) [][]byte {
	body := frames[0]
	if !p.partial {
		body = p.framing.begin(body)
	}
	taken := min(most, len(body))
	p.waiting = append(p.waiting, body[:taken]...)
	if p.partial = taken < len(body); p.partial {
		rest := slices.Clone(frames) // the slice is shared with other connections
		rest[0] = body[taken:]
		return rest
	}
	p.waiting = p.framing.finish(p.waiting)
	return frames[1:]
}

// Close gives Run a short time to write the rest of the buffer. If that ends with an
// incomplete frame, the client does not get the rest of it, nor anything after it.
func (p *Pump) Close(reason gateway.Reason, _ []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing {
		return
	}
	p.closing = true
	if !p.partial {
		p.waiting = p.framing.end(p.waiting, reason)
	}
	if !p.done {
		_ = p.control.SetWriteDeadline(time.Now().Add(farewellPatience))
	}
	p.rouse()
}

// rouse wakes Run. The caller must hold p.mu.
func (p *Pump) rouse() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Run writes until the session ends, the client disconnects or a write fails. It returns
// which of these happened, to be passed to Session.End. Nothing is written after that.
func (p *Pump) Run(ctx context.Context) error {
	defer p.stop()
	for last := false; !last; {
		select {
		case <-p.wake:
		case <-ctx.Done():
			return io.EOF
		}
		var waiting []byte
		if waiting, last = p.next(); len(waiting) == 0 {
			continue
		}
		if err := p.flush(waiting); err != nil {
			return fmt.Errorf("%w: %w", gateway.Lost, err)
		}
		p.wrote(len(waiting))
	}
	return errEnded
}

// next takes what is in the buffer. last is true if nothing follows.
func (p *Pump) next() (waiting []byte, last bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	waiting, p.waiting = p.waiting, nil
	return waiting, p.closing
}

func (p *Pump) flush(b []byte) error {
	if _, err := p.writer.Write(b); err != nil {
		return err
	}
	return p.control.Flush()
}

func (p *Pump) wrote(n int) {
	p.written.Store(int64(time.Since(p.began)))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held -= n
	p.announceRoom()
}

// announceRoom tells Write that there may be room. The caller must hold p.mu.
func (p *Pump) announceRoom() {
	if p.room != nil {
		close(p.room)
		p.room = nil
	}
}

// stop makes all later calls of Write fail.
func (p *Pump) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closing, p.done = true, true
	p.announceRoom()
}
