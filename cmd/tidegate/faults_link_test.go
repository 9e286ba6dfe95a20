package main

import (
	"io"
	"net"
	"sync"
	"testing"
)

// cable is the way from one node to Redis, for a test to cut.
type cable struct {
	t        *testing.T
	listener net.Listener
	target   string
	serving  sync.WaitGroup

	// Guarded by mu.
	mu    sync.Mutex
	state cableState
	flows chan struct{} // closed while the cable carries
	ends  map[net.Conn]bool
}

type cableState int

const (
	carries  cableState = iota
	isCut               // connections break, and no new ones are made
	swallows            // connections stay and are made, and nothing comes through
)

func layCable(t *testing.T, target string) *cable {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{t: t, listener: listener, target: target, flows: make(chan struct{}), ends: make(map[net.Conn]bool)}
	close(c.flows)
	c.serving.Go(c.serve)
	t.Cleanup(func() {
		listener.Close()
		c.set(isCut)
		c.set(carries) // so that nobody waits
		c.serving.Wait()
	})
	return c
}

func (c *cable) url() string { return "redis://" + c.listener.Addr().String() }

// set cuts the cable, has it swallow all, or mends it.
func (c *cable) set(state cableState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == carries {
		c.flows = make(chan struct{})
	}
	if c.state = state; state == carries {
		close(c.flows)
	}
	if state == isCut {
		for end := range c.ends {
			end.(*net.TCPConn).SetLinger(0) // a reset
			end.Close()
		}
	}
}

func (c *cable) serve() {
	for {
		near, err := c.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", c.target)
		if err != nil || !c.admit(near, far) {
			near.Close()
			continue
		}
		c.serving.Go(func() { c.carry(far, near) })
		c.serving.Go(func() { c.carry(near, far) })
	}
}

func (c *cable) admit(near, far net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == isCut {
		far.Close()
		return false
	}
	c.ends[near], c.ends[far] = true, true
	return true
}

func (c *cable) carry(to, from net.Conn) {
	_, _ = io.Copy(gate{c, to}, from) // how it ended does not matter
	to.Close()
	from.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.ends, to)
	delete(c.ends, from)
}

// gate is an end that takes bytes only while the cable carries.
type gate struct {
	cable *cable
	net.Conn
}

func (g gate) Write(p []byte) (int, error) {
	g.cable.mu.Lock()
	flows := g.cable.flows
	g.cable.mu.Unlock()
	<-flows
	return g.Conn.Write(p)
}
