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

// Pump is the connection of a client that listens to the body of a response. What is to
// be written waits in a bounded buffer for Run, which net/http's handler calls: only it
// may block.
type Pump struct {
	// Fixed at birth.
	writer  io.Writer
	control *http.ResponseController
	framing framing
	wake    chan struct{} // of capacity 1: Run has something to do

	written atomic.Int64 // when something was last written whole, in ns since 1970

	// Guarded by mu.
	mu      sync.Mutex
	waiting []byte        // for Run
	held    int           // bytes that wait, or are being written
	partial bool          // of the frame that was taken last a part is missing
	room    chan struct{} // closed when Run has written; nil: nobody waits for that
	closing bool          // nothing is added any more
	done    bool          // Run has ended: writer and control must not be used
}

var _ gateway.Conn = (*Pump)(nil)

// framing is how frames stand in the body of a response. Its methods are called with the
// pump's mu held.
type framing interface {
	begin(frame []byte) []byte                        // returns what of a frame is in the body, a tail of it
	finish(waiting []byte) []byte                     // appends what follows that
	end(waiting []byte, reason gateway.Reason) []byte // appends what the body ends with
}

// PumpBytes is how much a pump takes for a client that does not read. What it may have
// of a cursor, and of the end, goes beyond it.
const PumpBytes = 16 << 10

const farewellPatience = 5 * time.Second // for a peer to take the end

var errEnded = errors.New("the session has ended")

// NewPump returns a pump whose frames are written as the session's protocol has framed
// them, and after them what end returns.
func NewPump(w http.ResponseWriter, end func(gateway.Reason) []byte) *Pump {
	p := &Pump{}
	p.init(w, asFramed(end))
	return p
}

func (p *Pump) init(w http.ResponseWriter, f framing) {
	p.writer, p.control, p.framing, p.wake = w, http.NewResponseController(w), f, make(chan struct{}, 1)
	p.noteWritten()
}

// asFramed is for frames that stand in the body as they are.
type asFramed func(gateway.Reason) []byte

func (asFramed) begin(frame []byte) []byte    { return frame }
func (asFramed) finish(waiting []byte) []byte { return waiting }

func (last asFramed) end(waiting []byte, reason gateway.Reason) []byte {
	return append(waiting, last(reason)...)
}

// Heard returns when the peer last took what was written: that is all the sign of life
// it gives.
func (p *Pump) Heard() time.Time { return time.Unix(0, p.written.Load()) }

func (p *Pump) noteWritten() { p.written.Store(time.Now().UnixNano()) }

// Write hands frames to Run.
func (p *Pump) Write(frames [][]byte, wait time.Duration) ([][]byte, error) {
	return WriteWithin(wait, frames, p.take)
}

// WriteWithin is Conn.Write for a connection with a bounded buffer. take adds frames to
// it until it is full, and returns those that it leaves; room is closed when it may take
// more.
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

// take adds frames to what waits for Run until there is enough of that. Of what it
// leaves the first may be the rest of a frame; room is closed when it may take more.
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

// add takes at most so many bytes of the first frame, or of the rest of it, and returns
// what is left then.
func (p *Pump) add(frames [][]byte, most int) [][]byte {
	body := frames[0]
	if !p.partial {
		body = p.framing.begin(body)
	}
	taken := min(most, len(body))
	p.waiting = append(p.waiting, body[:taken]...)
	if p.partial = taken < len(body); p.partial {
		rest := slices.Clone(frames) // they are shared
		rest[0] = body[taken:]
		return rest
	}
	p.waiting = p.framing.finish(p.waiting)
	return frames[1:]
}

// Close lets Run write what waits, for a short time. Of a frame of which a part is
// missing the client gets no more, and nothing follows it.
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

// rouse is called with p.mu held.
func (p *Pump) rouse() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Run writes until the session is over, the client leaves, or writing fails, and
// returns which, for Session.End. Nothing is written any more then.
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

// next returns what waits; last says that nothing follows.
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
	p.noteWritten()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held -= n
	p.announceRoom()
}

// announceRoom is called with p.mu held.
func (p *Pump) announceRoom() {
	if p.room != nil {
		close(p.room)
		p.room = nil
	}
}

// stop ends the pump for those that write to it.
func (p *Pump) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closing, p.done = true, true
	p.announceRoom()
}
