package websocket

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"time"

	"tidegate/broker/lock"
	"tidegate/gateway/internal/wall"
)

// relay is the outlet of a connection that only knows writes that block, and may
// not survive one that times out. It takes a bounded number of bytes, and writes
// them by a goroutine that lives for as long as there are some.
type relay struct {
	conn net.Conn
	wall *wall.Wall

	mu      lock.Mutex[lock.Relay]
	taken   []byte        // waits for the goroutine
	held    int           // bytes taken and not written
	working bool          // the goroutine runs
	ending  bool          // the stream is to end after what was taken
	err     error         // of a write
	idle    chan struct{} // closed when the goroutine ends; nil: nobody waits for that
}

// relayBytes is how much a relay takes for a peer that does not read.
const relayBytes = 16 << 10

func newRelay(conn net.Conn, w *wall.Wall) *relay { return &relay{conn: conn, wall: w} }

func (r *relay) try(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return 0, r.err
	}
	n := min(len(p), relayBytes-r.held)
	if n > 0 {
		r.taken = append(r.taken, p[:n]...)
		r.held += n
		r.rouse()
	}
	return n, nil
}

func (r *relay) shut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ending = true
	r.rouse()
}

// rouse is called with r.mu held.
func (r *relay) rouse() {
	if !r.working {
		r.working = true
		go r.work()
	}
}

func (r *relay) work() {
	defer r.wall.Catch("write to a WebSocket", func() { r.fail(errors.New("the write panicked")) })
	for p, more := r.next(nil); more; p, more = r.next(p) {
		if err := r.write(p); err != nil {
			r.fail(err)
			return
		}
	}
}

// next returns what to write after done. If there is nothing, the goroutine is to
// end.
func (r *relay) next(done []byte) (p []byte, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held -= len(done)
	p, r.taken = r.taken, nil
	switch {
	case p != nil:
		return p, true
	case r.ending && r.err == nil:
		r.err = net.ErrClosed
		return nil, true
	}
	r.noteIdle()
	return nil, false
}

// write writes p; nil is the end of the stream.
func (r *relay) write(p []byte) error {
	if p != nil {
		_, err := r.conn.Write(p)
		return err
	}
	if half, ok := r.conn.(interface{ CloseWrite() error }); ok {
		half.CloseWrite() // in vain if the connection is broken
	}
	if secure, ok := r.conn.(*tls.Conn); ok {
		if half, ok := secure.NetConn().(interface{ CloseWrite() error }); ok {
			half.CloseWrite()
		}
	}
	return nil
}

// fail notes that the goroutine ends because of err.
func (r *relay) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
	r.noteIdle()
}

// noteIdle says that the goroutine ends. It is called with r.mu held.
func (r *relay) noteIdle() {
	r.working = false
	if r.idle != nil {
		close(r.idle)
		r.idle = nil
	}
}

// await waits until all that was taken has been written.
func (r *relay) await(deadline time.Time) error {
	idle, err := r.whenIdle()
	if idle == nil {
		return err
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-idle:
		_, err := r.whenIdle()
		return err
	case <-timer.C:
		return os.ErrDeadlineExceeded
	}
}

// whenIdle returns a channel that is closed when the goroutine ends; nil: it does
// not run, and err is what its writes came to.
func (r *relay) whenIdle() (idle chan struct{}, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.working {
		return nil, r.err
	}
	if r.idle == nil {
		r.idle = make(chan struct{})
	}
	return r.idle, nil
}

// abort closes the connection; nothing more is taken. It leaves out TLS's own
// farewell, which could block.
func (r *relay) abort() {
	r.refuse()
	if secure, ok := r.conn.(*tls.Conn); ok {
		secure.NetConn().Close()
		return
	}
	r.conn.Close()
}

func (r *relay) refuse() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = net.ErrClosed
	}
}
