package simredis

import (
	"bufio"
	"slices"
	"sync"
	"time"
)

// Server is one Redis server, of as many processes, one after the other, as it is
// started. All methods may be called concurrently.
type Server struct {
	Address string // host:port

	// Fixed at birth.
	seed     uint64
	newRunID func() string

	// Guarded by mu: a server does one thing at a time.
	mu      sync.Mutex
	process *process           // the last one
	peers   map[*peer]struct{} // nil: it does not run
	resumed chan struct{}      // closed when it goes on; nil: it does not stand still
	ahead   time.Duration      // its clock is
}

// Start begins a process that has nothing.
func (s *Server) Start() { s.StartFrom(Mark{}) }

// StartFrom begins a process that has what was told up to the mark. If another one
// runs, that ends.
func (s *Server) StartFrom(m Mark) {
	s.Stop()
	runID := s.newRunID()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process, s.peers = begin(runID, s.seed, m, s.now), make(map[*peer]struct{})
}

// Stop ends the process: what it holds is gone, and connections are reset.
func (s *Server) Stop() {
	s.mu.Lock()
	process, peers := s.process, s.peers
	s.peers = nil
	s.mu.Unlock()
	for p := range peers {
		p.conn.cable.sever()
	}
	if peers != nil {
		process.data.Close()
	}
}

// Mark is what the server has been told so far.
func (s *Server) Mark() Mark {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Mark{slices.Clip(s.process.writes)}
}

// Pause makes the server stand still: connections stay, and nothing is answered.
func (s *Server) Pause() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.resumed == nil {
		s.resumed = make(chan struct{})
	}
}

// Resume ends Pause.
func (s *Server) Resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.resumed != nil {
		close(s.resumed)
		s.resumed = nil
	}
}

// Refuse has all that writes fail with an error of Redis, such as "OOM command not
// allowed"; none if it is empty.
func (s *Server) Refuse(refusal string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process.refusal = refusal
}

// SetClock has the server's clock go ahead of that of package time, or behind it. It stays
// so when another process begins.
func (s *Server) SetClock(ahead time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead = ahead
}

// now is called with mu held.
func (s *Server) now() time.Time { return time.Now().Add(s.ahead) }

// Demote makes the server a replica: it says so, and writes nothing.
func (s *Server) Demote() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process.replica, s.process.refusal = true, "READONLY You can't write against a read only replica."
}

func (s *Server) promote() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process.replica, s.process.refusal = false, ""
}

// Flush removes all keys.
func (s *Server) Flush() { s.Do("FLUSHALL") }

// Do runs one command as a client would that is at hand, and returns the answer as it
// is sent.
func (s *Server) Do(command ...string) string {
	p := newPeer(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peers == nil {
		return ""
	}
	return s.process.run(p, command)
}

// admit returns the peer for a new connection, or nil if nobody listens.
func (s *Server) admit(conn *end) *peer {
	p := newPeer(conn)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peers == nil {
		return nil
	}
	s.peers[p] = struct{}{}
	return p
}

// serve answers commands until the connection ends.
func (s *Server) serve(p *peer) {
	defer func() {
		p.conn.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.part(p)
	}()
	r := bufio.NewReader(p.conn)
	for {
		command, err := readCommand(r)
		if err != nil || !s.answer(p, command) {
			return
		}
	}
}

// part forgets a connection. It is called with mu held.
func (s *Server) part(p *peer) {
	if _, here := s.peers[p]; !here {
		return
	}
	delete(s.peers, p)
	s.process.hearers.part(p)
}

// answer does a command, when the server does not stand still, and reports whether
// the connection lives.
func (s *Server) answer(p *peer, command []string) bool {
	for {
		s.mu.Lock()
		if _, here := s.peers[p]; !here {
			s.mu.Unlock()
			return false
		}
		resumed := s.resumed
		if resumed == nil {
			break
		}
		s.mu.Unlock()
		<-resumed
	}
	defer s.mu.Unlock()
	_, err := p.conn.Write([]byte(s.process.run(p, command)))
	return err == nil
}
