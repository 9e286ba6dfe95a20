package transport

import (
	"sync"
	"syscall"

	"tidegate/gateway/internal/wall"
)

// poller waits in the place of connections that own no goroutine: it starts one
// for a connection whose peer has something to say. All methods may be called
// concurrently; a nil poller watches nothing.
type poller struct {
	wall      *wall.Wall
	readiness readiness
	ended     chan struct{} // closed when run has returned

	// Guarded by mu, which is only held for calls that do not block.
	mu      sync.Mutex
	watched map[ticket]*webSocketConn
	tickets ticket // those that were given out
	closed  bool
}

// ticket stands for a connection at the kernel's, which may still tell of one
// that is gone. 0 is nobody's.
type ticket uint64

// readiness is how the kernel tells that something has come, or that the
// connection is broken.
type readiness interface {
	// add makes a connection known, and arms it. The kernel forgets it when it
	// is closed. Calls of add and arm must not overlap.
	add(conn syscall.RawConn, t ticket) error

	// arm lets the next await tell once of what comes, and of what is there
	// already.
	arm(conn syscall.RawConn, t ticket) error

	// await waits for armed connections and says which; an error is final.
	await(into []ticket) (n int, err error)

	// close ends await.
	close()
}

const pollerBatch = 128 // connections that an await tells of at most

// newPoller returns a poller that works until it is closed, or nil if this
// system offers none.
func newPoller(w *wall.Wall) *poller {
	r, err := newReadiness()
	if r == nil || err != nil {
		return nil // connections keep their goroutines
	}
	p := &poller{wall: w, readiness: r, ended: make(chan struct{}), watched: make(map[ticket]*webSocketConn)}
	go p.run()
	return p
}

// watch calls c.serve, by a goroutine of its own, once the peer has something to
// say. It reports whether it will; the caller must not serve c any more then.
func (p *poller) watch(c *webSocketConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.ask(c) != nil {
		return false
	}
	p.watched[c.ticket] = c
	return true
}

// ask is called with p.mu held.
func (p *poller) ask(c *webSocketConn) error {
	if c.ticket != 0 {
		return p.readiness.arm(c.wire.in.socket, c.ticket)
	}
	p.tickets++
	c.ticket = p.tickets
	return p.readiness.add(c.wire.in.socket, c.ticket)
}

// release ends watching c. It reports whether c was watched: then the caller is
// to see to it that c is served.
func (p *poller) release(c *webSocketConn) bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, watched := p.watched[c.ticket]
	delete(p.watched, c.ticket)
	return watched
}

// close ends the poller, and waits for that. Connections keep goroutines of their
// own from now on.
func (p *poller) close() {
	if p == nil {
		return
	}
	p.readiness.close()
	<-p.ended
}

func (p *poller) run() {
	defer close(p.ended)
	var tickets [pollerBatch]ticket
	for {
		n, err := p.readiness.await(tickets[:])
		if err != nil {
			p.releaseAll()
			return
		}
		p.wall.Do("wake connections", func() { p.rouse(tickets[:n]) })
	}
}

func (p *poller) rouse(tickets []ticket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range tickets {
		if c := p.watched[t]; c != nil {
			delete(p.watched, t)
			go c.serve()
		}
	}
}

func (p *poller) releaseAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for t, c := range p.watched {
		delete(p.watched, t)
		go c.serve()
	}
}
