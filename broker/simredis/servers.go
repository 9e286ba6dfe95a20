// Package simredis is a model of Redis for simulations: servers in this process that
// are reached over connections in memory, whose time may be virtual, and that stop,
// forget, stall and refuse as they are told. Keys, streams and scripts are miniredis's,
// so that the scripts that run are the real ones; pub/sub, who a server says it is,
// and all that goes wrong are its own.
//
// It is held to the real Redis by package brokertest, which every broker passes, and
// by a differential fuzz of the commands that the broker uses.
package simredis

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
)

// Servers is a set of Redis servers, by address. All methods may be called
// concurrently.
type Servers struct {
	seed    uint64
	serving sync.WaitGroup // connections

	// Guarded by mu.
	mu   sync.Mutex
	list map[string]*Server
	all  []*Server
	runs int // processes that there have been
}

// New returns a set without servers. What is arbitrary in them follows from the seed.
func New(seed uint64) *Servers {
	return &Servers{seed: seed, list: make(map[string]*Server)}
}

// Start starts a server that has nothing.
func (s *Servers) Start(address string) *Server {
	return s.startFrom(address, Mark{})
}

func (s *Servers) startFrom(address string, m Mark) *Server {
	server := &Server{Address: address, seed: s.seed, newRunID: s.newRunID}
	server.StartFrom(m)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list[address] = server
	s.all = append(s.all, server)
	return server
}

// At returns the server that an address leads to.
func (s *Servers) At(address string) *Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list[address]
}

// FailOver makes the server at an address a replica. The address leads to another one
// from now on, which has not what the last n commands wrote. Connections that there are
// lead to the former one, which goes on.
func (s *Servers) FailOver(address string, n int) {
	former := s.At(address)
	former.Demote()
	s.startFrom(address, former.Mark().Before(n))
}

// Reinstate makes a server that was failed over the master again, with the data that it
// has, and the one in its place a replica. The address leads to it from now on.
func (s *Servers) Reinstate(former *Server) {
	s.At(former.Address).Demote()
	former.promote()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list[former.Address] = former
}

// Close stops all servers and waits until no connection is served any more.
func (s *Servers) Close() {
	s.mu.Lock()
	servers := slices.Clone(s.all)
	s.mu.Unlock()
	for _, server := range servers {
		server.Resume()
		server.Stop()
	}
	s.serving.Wait()
}

// accept has a server serve its end of a connection, if it runs.
func (s *Servers) accept(server *Server, conn *end) bool {
	p := server.admit(conn)
	if p == nil {
		return false
	}
	s.serving.Go(func() { server.serve(p) })
	return true
}

// newRunID returns an identity that no other process has.
func (s *Servers) newRunID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs++
	sum := sha1.Sum(fmt.Append(nil, s.seed, " ", s.runs))
	return hex.EncodeToString(sum[:])
}
