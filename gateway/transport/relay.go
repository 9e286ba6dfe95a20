package transport

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"tidegate/gateway/internal/wall"
)

// relay is the outlet of a connection that only knows writes that block, and
// does not survive one that times out: TLS. It takes a bounded number of bytes,
// and writes them by a goroutine that lives for as long as there are some.
type relay struct {
	conn net.Conn
	wall *wall.Wall

	mu      sync.Mutex
	taken   []byte        // waits for the goroutine
	held    int           // bytes taken and not written
	working bool          // the goroutine runs
	err     error         // of a write
	idle    chan struct{} // closed when the goroutine ends; nil: nobody waits for that
}

// relayBytes is how much a relay takes for a peer that does not read.
const relayBytes = 32 << 10

func newRelay(conn net.Conn, w *wall.Wall) *relay { return &relay{conn: conn, wall: w} }

func (r *relay) try(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return 0, r.err
	}
	n := min(len(p), relayBytes-r.held)
	if n == 0 {
		return 0, nil
	}
	r.taken = append(r.taken, p[:n]...)
	r.held += n
	if !r.working {
		r.working = true
		go r.work()
	}
	return n, nil
}

func (r *relay) work() {
	defer r.wall.Catch("write to a WebSocket", func() { r.fail(errors.New("the write panicked")) })
	for p := r.next(nil); p != nil; p = r.next(p) {
		if _, err := r.conn.Write(p); err != nil {
			r.fail(err)
			return
		}
	}
}

// next returns what to write after done, or nil if the goroutine is to end.
func (r *relay) next(done []byte) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held -= len(done)
	p := r.taken
	r.taken = nil
	if p == nil {
		r.rest()
	}
	return p
}

func (r *relay) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
	r.rest()
}

// rest is called with r.mu held.
func (r *relay) rest() {
	r.working = false
	if r.idle != nil {
		close(r.idle)
		r.idle = nil
	}
}

// await waits until all that was taken has been written.
func (r *relay) await(deadline time.Time) error {
	r.mu.Lock()
	if !r.working {
		defer r.mu.Unlock()
		return r.err
	}
	if r.idle == nil {
		r.idle = make(chan struct{})
	}
	idle := r.idle
	r.mu.Unlock()

	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-idle:
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.err
	case <-timer.C:
		return os.ErrDeadlineExceeded
	}
}

func (r *relay) close(deadline time.Time) {
	if r.await(deadline) == nil {
		r.conn.Close()
	}
	r.abort()
}

// abort leaves out TLS's own farewell, which could block.
func (r *relay) abort() {
	if secure, ok := r.conn.(*tls.Conn); ok {
		secure.NetConn().Close()
		return
	}
	r.conn.Close()
}
