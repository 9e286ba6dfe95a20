package brokertest

import (
	"net"
	"sync"
	"testing"
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
	ends   map[net.Conn]struct{}
}

// direction carries bytes, or keeps them back.
type direction struct{ flows chan struct{} } // closed: it carries

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

// Mend ends Block and BlockBoth: what was kept back arrives.
func (w *Way) Mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.there.mend()
	w.back.mend()
}

// Cut breaks the connections that there are.
func (w *Way) Cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for end := range w.ends {
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
		w.mu.Lock()
		target := w.target
		w.mu.Unlock()
		far, err := net.Dial("tcp", target)
		if err != nil {
			near.Close()
			continue
		}
		w.mu.Lock()
		w.ends[near], w.ends[far] = struct{}{}, struct{}{}
		w.mu.Unlock()
		w.serving.Go(func() { w.carry(far, near, &w.there) })
		w.serving.Go(func() { w.carry(near, far, &w.back) })
	}
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
		w.mu.Lock()
		flows := d.flows
		w.mu.Unlock()
		<-flows
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}
