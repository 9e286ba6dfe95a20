package brokertest

import (
	"bytes"
	"net"
	"sync"
	"testing"
	"time"
)

// Way is a way to a server for a test to tamper with: a name behind which another
// server may be, and a cable that may be dead. All methods may be called
// concurrently.
type Way struct {
	Addr string // host:port, on loopback

	listener net.Listener
	serving  sync.WaitGroup

	// Guarded by mu.
	mu     sync.Mutex
	target string
	there  direction // to the server
	back   direction
	delay  time.Duration // of each direction
	broken bool
	ends   map[net.Conn]struct{}
	names  []rename
}

// direction carries bytes, or keeps them back.
type direction struct{ flows chan struct{} } // closed: it carries

// rename is a port as a server tells it, by itself on a line, and what is told in its
// place.
type rename struct{ from, to []byte }

// LayWay returns a way to an address, until the test ends.
func LayWay(t testing.TB, target string) *Way {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &Way{Addr: l.Addr().String(), listener: l, target: target, ends: make(map[net.Conn]struct{})}
	w.there.mend()
	w.back.mend()
	w.serving.Go(w.serve)
	t.Cleanup(func() {
		l.Close()
		w.Mend()
		w.Cut()
		w.serving.Wait()
	})
	return w
}

// LayWays returns a way to each server, on which they name one another by these ways:
// who knows one of them as a Sentinel or as a node of a Cluster finds the others so.
func LayWays(t testing.TB, servers ...*RedisServer) []*Way {
	t.Helper()
	ways := make([]*Way, len(servers))
	for i, server := range servers {
		ways[i] = LayWay(t, server.Addr)
	}
	var names []rename
	for i, server := range servers {
		for _, sign := range []string{"$5\r\n", ":"} { // before a string of five digits, and a number
			names = append(names, rename{[]byte(sign + port(server.Addr) + "\r\n"), []byte(sign + port(ways[i].Addr) + "\r\n")})
		}
	}
	for _, w := range ways {
		w.mu.Lock()
		w.names = names
		w.mu.Unlock()
	}
	return ways
}

// Lead has new connections lead to another address. Those that there are stay.
func (w *Way) Lead(target string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.target = target
}

// Block keeps back all that goes to the server. What comes from it still comes.
func (w *Way) Block() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.there.flows = make(chan struct{})
}

// BlockBoth keeps back what goes either way.
func (w *Way) BlockBoth() {
	w.Block()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.back.flows = make(chan struct{})
}

// Slow has all that goes either way take so much longer.
func (w *Way) Slow(by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.delay = by
}

// Break breaks the connections that there are, and lets nobody make others.
func (w *Way) Break() {
	w.mu.Lock()
	w.broken = true
	w.mu.Unlock()
	w.Cut()
}

// Mend ends Block, BlockBoth, Slow and Break: what was kept back arrives.
func (w *Way) Mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.delay, w.broken = 0, false
	w.there.mend()
	w.back.mend()
}

// Cut breaks the connections that there are.
func (w *Way) Cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for end := range w.ends {
		_ = end.(*net.TCPConn).SetLinger(0) // a reset
		end.Close()
	}
}

func (d *direction) mend() {
	if d.flows == nil {
		d.flows = make(chan struct{})
	}
	select {
	case <-d.flows:
	default:
		close(d.flows)
	}
}

func (w *Way) serve() {
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return
		}
		if far := w.reach(near); far == nil {
			near.Close()
		} else {
			w.serving.Go(func() { w.carry(far, near, &w.there) })
			w.serving.Go(func() { w.carry(near, far, &w.back) })
		}
	}
}

// reach returns the other end of a connection, or nil.
func (w *Way) reach(near net.Conn) (far net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken {
		return nil
	}
	far, err := net.Dial("tcp", w.target)
	if err != nil {
		return nil
	}
	w.ends[near], w.ends[far] = struct{}{}, struct{}{}
	return far
}

func (w *Way) carry(to, from net.Conn, d *direction) {
	defer func() {
		to.Close()
		from.Close()
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.ends, to)
		delete(w.ends, from)
	}()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if _, err := to.Write(w.pass(buffer[:n], d)); err != nil {
			return
		}
	}
}

// pass returns what is to be written of some bytes, when their time has come.
func (w *Way) pass(some []byte, d *direction) []byte {
	w.mu.Lock()
	flows, delay, names := d.flows, w.delay, w.names
	w.mu.Unlock()
	if delay > 0 {
		<-time.After(delay)
	}
	<-flows
	if d == &w.back {
		for _, name := range names {
			some = bytes.ReplaceAll(some, name.from, name.to)
		}
	}
	return some
}
