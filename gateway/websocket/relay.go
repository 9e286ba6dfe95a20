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

// relay is the outlet of a connection whose writes block and which may not survive a write
// that times out. It buffers a bounded number of bytes. A goroutine, which runs only while
// there are bytes to write, writes them.
type relay struct {
	conn net.Conn
	wall *wall.Wall

	mu      lock.Mutex[lock.Relay]
	taken   []byte        // bytes that wait for the goroutine
	held    int           // number of bytes taken and not written
	working bool          // the goroutine runs
	ending  bool          // end the stream after what was taken
	err     error         // of a write
	idle    chan struct{} // closed when the goroutine ends; nil if nobody waits for that
}

// relayBytes is how much a relay buffers for a peer that does not read.
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

// rouse starts the goroutine, unless it runs. The caller must hold r.mu.
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

// next returns the next bytes to write, after done has been written. If more is false, the
// goroutine must end.
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

// write writes p, or ends the stream if p is nil.
func (r *relay) write(p []byte) error {
	if p != nil {
		_, err := r.conn.Write(p)
		return err
	}
	if half, ok := r.conn.(interface{ CloseWrite() error }); ok {
		half.CloseWrite() // fails only if the connection is broken
	}
	if secure, ok := r.conn.(*tls.Conn); ok {
		if half, ok := secure.NetConn().(interface{ CloseWrite() error }); ok {
			half.CloseWrite()
		}
	}
	return nil
}

// fail records that the goroutine ends because of err.
func (r *relay) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
	r.noteIdle()
}

// noteIdle records that the goroutine ends. The caller must hold r.mu.
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

// whenIdle returns a channel that is closed when the goroutine ends. If it does not run,
// whenIdle returns nil and the error that its writes have returned.
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

// abort closes the connection; nothing more is taken. It skips the close notification of
// TLS, which could block.
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
