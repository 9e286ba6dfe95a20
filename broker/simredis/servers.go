// Package simredis is a model of Redis for simulations. Its servers run in this process, are
// reached over in-memory connections, may run in virtual time, and stop, lose data, stall and
// reject writes on demand. Keys, streams and scripts are those of miniredis, so the broker's
// real scripts run; pub/sub, server identity and faults are implemented here.
//
// Two tests compare it with a real Redis: the conformance suite of package brokertest, which
// every broker passes, and a differential fuzz test of the commands that the broker uses.
package simredis

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
)

// Servers is a set of Redis servers, by address. It is safe for concurrent use.
type Servers struct {
	seed    uint64
	serving sync.WaitGroup // goroutines that serve connections

	// Guarded by mu.
	mu   sync.Mutex
	list map[string]*Server
	all  []*Server
	runs int // number of processes so far
}

// New returns an empty set. All random choices of its servers derive from the seed.
func New(seed uint64) *Servers {
	return &Servers{seed: seed, list: make(map[string]*Server)}
}

// Start starts a server without data.
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

// At returns the server that an address currently leads to, or nil.
func (s *Servers) At(address string) *Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list[address]
}

// FailOver demotes the server at an address to a replica and starts another one in its place,
// which lacks the writes of the last n commands. New connections to the address lead to the
// new server; existing ones stay with the former one, which keeps running.
func (s *Servers) FailOver(address string, n int) {
	former := s.At(address)
	former.Demote()
	s.startFrom(address, former.Mark().Before(n))
}

// Reinstate undoes FailOver: the former server becomes the master again, with the data that it
// has, and its replacement becomes a replica. New connections to the address lead to former.
func (s *Servers) Reinstate(former *Server) {
	s.At(former.Address).Demote()
	former.promote()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list[former.Address] = former
}

// Busiest returns the command that clients have sent to a server most often within a second, and
// how often.
func (s *Servers) Busiest() (command string, times int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, server := range s.all {
		server.mu.Lock()
		if server.tally.most > times {
			command, times = server.tally.busiest, server.tally.most
		}
		server.mu.Unlock()
	}
	return command, times
}

// Close stops all servers and waits until their connections are closed.
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

// accept makes a server serve its end of a connection. It returns false if the server is
// stopped.
func (s *Servers) accept(server *Server, conn *end) bool {
	p := server.admit(conn)
	if p == nil {
		return false
	}
	s.serving.Go(func() { server.serve(p) })
	return true
}

// newRunID returns a unique run_id for a process.
func (s *Servers) newRunID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs++
	sum := sha1.Sum(fmt.Append(nil, s.seed, " ", s.runs))
	return hex.EncodeToString(sum[:])
}
