package simredis

import (
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// end is one end of an in-memory connection. Writes never block: the connection buffers any
// amount of data until the other end reads it. All times are those of package time, which may
// be virtual.
type end struct {
	in, out *stream
	cable   *cable
}

// cable is an in-memory connection.
type cable struct {
	there, back stream // to the server, and from it
	cut         func() // called once, when either end has been closed
}

// lay returns the two ends of a new connection, to which the delays and blocks of the way apply.
func (w *Way) lay() (near, far *end) {
	c := &cable{there: stream{way: w, road: &w.there}, back: stream{way: w, road: &w.back}}
	c.there.changed, c.back.changed = make(chan struct{}), make(chan struct{})
	c.cut = sync.OnceFunc(func() { w.forget(c) })
	return &end{in: &c.back, out: &c.there, cable: c}, &end{in: &c.there, out: &c.back, cable: c}
}

// sever resets the connection for both ends. Unread data is lost.
func (c *cable) sever() {
	for _, s := range []*stream{&c.there, &c.back} {
		s.end(syscall.ECONNRESET)
	}
	c.cut()
}

// stream is one direction of a connection.
type stream struct {
	way  *Way
	road *road // of the way, for this direction

	// Guarded by mu.
	mu       sync.Mutex
	chunks   []chunk       // unread
	finished bool          // no more chunks will follow
	broken   error         // the error of all reads and writes, if not nil
	deadline time.Time     // for reads
	changed  chan struct{} // closed and replaced at each change
}

// chunk is the data of one write.
type chunk struct {
	data []byte
	due  time.Time // when it arrives
}

func (s *stream) write(p []byte) (int, error) {
	due := s.way.arrival(s.road)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.broken != nil:
		return 0, s.broken
	case s.finished:
		return 0, syscall.EPIPE
	}
	if n := len(s.chunks); n > 0 && due.Before(s.chunks[n-1].due) {
		due = s.chunks[n-1].due // chunks stay in order
	}
	s.chunks = append(s.chunks, chunk{slices.Clone(p), due})
	s.wake()
	return len(p), nil
}

// read waits until data arrives, the stream ends or the deadline passes.
func (s *stream) read(p []byte) (int, error) {
	for {
		opened := s.way.opened(s.road) // before take, so that no change is missed
		n, changed, until, err := s.take(p, opened == nil)
		if n > 0 || err != nil {
			return n, err
		}
		await(changed, opened, until)
	}
}

// take reads what is available now. If that is nothing, it returns what to wait for: a channel
// that is closed at the next change, and a time.
func (s *stream) take(p []byte, open bool) (n int, changed <-chan struct{}, until time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	switch {
	case s.broken != nil:
		return 0, nil, until, s.broken
	case !s.deadline.IsZero() && !now.Before(s.deadline):
		return 0, nil, until, os.ErrDeadlineExceeded
	case open && len(s.chunks) > 0 && !now.Before(s.chunks[0].due):
		first := &s.chunks[0]
		n = copy(p, first.data)
		if first.data = first.data[n:]; len(first.data) == 0 {
			s.chunks = slices.Delete(s.chunks, 0, 1)
		}
		return n, nil, until, nil
	case open && len(s.chunks) == 0 && s.finished:
		return 0, nil, until, io.EOF
	}
	until = s.deadline
	if open && len(s.chunks) > 0 && (until.IsZero() || s.chunks[0].due.Before(until)) {
		until = s.chunks[0].due
	}
	return 0, s.changed, until, nil
}

// await returns when one of the channels is closed, or at the time until unless that is zero.
func await(a, b <-chan struct{}, until time.Time) {
	var late <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-a:
	case <-b:
	case <-late:
	}
}

func (s *stream) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finished = true
	s.wake()
}

func (s *stream) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.broken = err
	}
	s.chunks = nil
	s.wake()
}

func (s *stream) setDeadline(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deadline = t
	s.wake()
}

// wake wakes waiting readers. The caller must hold mu.
func (s *stream) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (e *end) Read(p []byte) (int, error)  { return e.in.read(p) }
func (e *end) Write(p []byte) (int, error) { return e.out.write(p) }

// Close closes the connection. The other end can still read the data that was written.
func (e *end) Close() error {
	e.out.finish()
	e.in.end(net.ErrClosed)
	e.cable.cut()
	return nil
}

func (e *end) SetDeadline(t time.Time) error     { return e.SetReadDeadline(t) }
func (e *end) SetReadDeadline(t time.Time) error { e.in.setDeadline(t); return nil }
func (e *end) SetWriteDeadline(time.Time) error  { return nil } // writes never block
func (e *end) LocalAddr() net.Addr               { return &net.UnixAddr{Name: "client", Net: "memory"} }
func (e *end) RemoteAddr() net.Addr              { return &net.UnixAddr{Name: "server", Net: "memory"} }

var _ net.Conn = (*end)(nil)
