package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tidegate/gateway"
)

// farewellPatience is how long a peer may take to take the last event.
const farewellPatience = 5 * time.Second

// stream is a client that listens to Server-Sent Events. What is to be written
// waits in a bounded buffer for pump, which net/http's handler runs: only it may
// block.
type stream struct {
	// Fixed at birth.
	writer  io.Writer
	control *http.ResponseController
	wake    chan struct{} // of capacity 1: pump has something to do

	written atomic.Int64 // when something was last written whole, in ns since 1970

	// Guarded by mu.
	mu      sync.Mutex
	cursors cursors
	waiting []byte        // for pump
	held    int           // bytes that wait, or are being written
	room    chan struct{} // closed when pump has written; nil: nobody waits for that
	closing bool          // nothing is added any more
	done    bool          // pump has ended: writer and control must not be used
}

var _ gateway.Conn = (*stream)(nil)

var errEnded = errors.New("the session has ended")

// streamBytes is how much a stream takes for a client that does not read.
const streamBytes = 32 << 10

func newStream(w http.ResponseWriter, at cursors) *stream {
	s := &stream{
		cursors: at,
		writer:  w, control: http.NewResponseController(w), wake: make(chan struct{}, 1),
	}
	s.noteWritten()
	return s
}

// begin says what comes before all messages. A client that comes back to a
// channel without history may have missed some.
func (s *stream) begin(native gateway.Protocol) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, retry+"\n"...)
	for i := range s.cursors.places {
		if p := &s.cursors.places[i]; p.resumed && !p.hasPosition() {
			s.waiting = append(s.waiting, notices{native, nativeEvents}.gapBody(p.channel)...)
			s.waiting = append(s.waiting, '\n')
		}
	}
	s.held = len(s.waiting)
	s.rouse()
}

func (s *stream) Heard() time.Time { return time.Unix(0, s.written.Load()) }

func (s *stream) noteWritten() { s.written.Store(time.Now().UnixNano()) }

func (s *stream) Write(frames [][]byte, wait time.Duration) ([][]byte, error) {
	rest, room, err := s.take(frames)
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
		if rest, room, err = s.take(rest); err != nil || len(rest) == 0 {
			return rest, err
		}
	}
}

// take adds frames to what waits for pump until there is enough of that. What it
// leaves are whole frames; room is closed when it may take more.
func (s *stream) take(frames [][]byte) (rest [][]byte, room <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return frames, nil, errEnded
	}
	before := len(s.waiting)
	for len(frames) > 0 && s.held+len(s.waiting)-before < streamBytes {
		s.add(parseNotice(frames[0]))
		frames = frames[1:]
	}
	s.held += len(s.waiting) - before
	s.rouse()
	if len(frames) > 0 && s.room == nil {
		s.room = make(chan struct{})
	}
	return frames, s.room, nil
}

func (s *stream) add(n notice) {
	if !s.cursors.note(n) {
		return
	}
	s.waiting = append(s.waiting, n.body...)
	switch n.kind {
	case message:
		if len(n.position) > 0 {
			s.addID()
		}
		s.waiting = append(s.waiting, '\n')
	case gap, lost:
		s.waiting = append(s.waiting, '\n')
	case caughtUp:
		s.addID()
		s.waiting = append(s.waiting, '\n')
	}
}

func (s *stream) addID() {
	s.waiting = append(s.waiting, "id: "...)
	s.waiting = s.cursors.append(s.waiting)
	s.waiting = append(s.waiting, '\n')
}

// Close lets pump write what waits, for a short time.
func (s *stream) Close(reason gateway.Reason, _ []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return
	}
	s.closing = true
	s.waiting = fmt.Appendf(s.waiting, ": %s\n\n", oneLine(reason.Text))
	if !s.done {
		_ = s.control.SetWriteDeadline(time.Now().Add(farewellPatience))
	}
	s.rouse()
}

// rouse is called with s.mu held.
func (s *stream) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// pump writes until the stream is closed, the client leaves, or writing fails, and
// returns which. Nothing is written any more then.
func (s *stream) pump(ctx context.Context) error {
	defer s.stop()
	for last := false; !last; {
		select {
		case <-s.wake:
		case <-ctx.Done():
			return io.EOF
		}
		var waiting []byte
		if waiting, last = s.next(); len(waiting) == 0 {
			continue
		}
		if err := s.flush(waiting); err != nil {
			return fmt.Errorf("%w: %w", gateway.Lost, err)
		}
		s.wrote(len(waiting))
	}
	return errEnded
}

// next returns what waits; last says that nothing follows.
func (s *stream) next() (waiting []byte, last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting, s.waiting = s.waiting, nil
	return waiting, s.closing
}

func (s *stream) flush(b []byte) error {
	if _, err := s.writer.Write(b); err != nil {
		return err
	}
	return s.control.Flush()
}

func (s *stream) wrote(n int) {
	s.noteWritten()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held -= n
	s.announceRoom()
}

// announceRoom is called with s.mu held.
func (s *stream) announceRoom() {
	if s.room != nil {
		close(s.room)
		s.room = nil
	}
}

// stop ends the stream for who writes to it.
func (s *stream) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing, s.done = true, true
	s.announceRoom()
}

// retry is how long a client waits before it comes back.
const retry = "retry: 2000\n"

func oneLine(text string) string { return strings.NewReplacer("\r", " ", "\n", " ").Replace(text) }
