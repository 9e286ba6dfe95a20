package brokertest

import (
	"bytes"
	"net"
	"sync"
	"testing"
	"time"
)

// Way is a TCP proxy to a server, with which a test simulates network faults and redirects
// connections to another server. It is safe for concurrent use.
type Way struct {
	Addr string // host:port, on loopback

	listener net.Listener
	serving  sync.WaitGroup

	// Guarded by mu.
	mu     sync.Mutex
	target string
	there  direction // to the server
	back   direction
	delay  time.Duration // in each direction
	broken bool
	ends   map[net.Conn]struct{}
	names  []rename
}

// direction is one direction of the traffic, which may be blocked.
type direction struct{ flows chan struct{} } // closed unless blocked

// rename replaces a port number in the replies of a server, where it is a RESP element of its
// own.
type rename struct{ from, to []byte }

// LayWay starts a Way to an address, and stops it when the test ends.
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

// LayWays starts a Way to each server. In replies, it replaces the servers' ports by those of
// the Ways, so that a client that discovers servers through a Sentinel or a Cluster node uses
// the Ways, too.
func LayWays(t testing.TB, servers ...*RedisServer) []*Way {
	t.Helper()
	ways := make([]*Way, len(servers))
	for i, server := range servers {
		ways[i] = LayWay(t, server.Addr)
	}
	var names []rename
	for i, server := range servers {
		for _, sign := range []string{"$5\r\n", ":"} { // the prefixes of a string of five digits, and of an integer
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

// Lead connects new connections to another address. Existing connections stay.
func (w *Way) Lead(target string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.target = target
}

// Block holds back all data to the server. Data from the server still passes.
func (w *Way) Block() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.there.block()
}

// BlockBoth holds back the data in both directions.
func (w *Way) BlockBoth() {
	w.Block()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.back.block()
}

// Slow delays the data in both directions.
func (w *Way) Slow(by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.delay = by
}

// Break resets all connections and rejects new ones.
func (w *Way) Break() {
	w.mu.Lock()
	w.broken = true
	w.mu.Unlock()
	w.Cut()
}

// Mend ends Block, BlockBoth, Slow and Break. Data that was held back is delivered.
func (w *Way) Mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.delay, w.broken = 0, false
	w.there.mend()
	w.back.mend()
}

// Cut resets all connections.
func (w *Way) Cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for end := range w.ends {
		_ = end.(*net.TCPConn).SetLinger(0) // makes Close send a reset
		end.Close()
	}
}

// block leaves a direction that is blocked already as it is: what it holds back waits for flows.
func (d *direction) block() {
	select {
	case <-d.flows:
		d.flows = make(chan struct{})
	default:
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

// reach connects to the target for the connection near. It returns nil if the Way is broken
// or the target cannot be reached.
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

// pass waits until the bytes may pass, and returns them with ports replaced.
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
