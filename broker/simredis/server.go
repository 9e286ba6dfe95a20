package simredis

import (
	"bufio"
	"slices"
	"sync"
	"time"
)

// Server is one Redis server. Each start begins a new process. It is safe for concurrent use.
type Server struct {
	Address string // host:port

	// Immutable.
	seed     uint64
	newRunID func() string

	// Guarded by mu, which also makes commands run one at a time.
	mu      sync.Mutex
	process *process           // the last one
	peers   map[*peer]struct{} // nil if the server is stopped
	resumed chan struct{}      // closed by Resume; nil if not paused
	ahead   time.Duration      // how far its clock is ahead of package time
	answers int                // number of commands answered
	tally   tally
}

// Start starts a process without data. It stops the process that runs, if any.
func (s *Server) Start() { s.StartFrom(Mark{}) }

// StartFrom starts a process with the data of the mark. It stops the process that runs, if
// any.
func (s *Server) StartFrom(m Mark) {
	s.Stop()
	runID := s.newRunID()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process, s.peers = begin(runID, s.seed, m, s.now), make(map[*peer]struct{})
}

// Stop ends the process: its data is lost and its connections are reset.
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

// Mark returns a mark after all writes so far.
func (s *Server) Mark() Mark {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Mark{slices.Clip(s.process.writes)}
}

// Answers returns how many commands of clients the server has answered.
func (s *Server) Answers() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answers
}

// Pause suspends the server: connections stay open, but it does not reply.
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

// Refuse makes all writes fail with an error of Redis, such as "OOM command not allowed". If
// refusal is empty, writes succeed again.
func (s *Server) Refuse(refusal string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process.refusal = refusal
}

// RefuseReads makes so many of 100 reads of a key, a stream or a hash that is read as a whole,
// fail with the error NOPERM of Redis. An empty key means all streams.
func (s *Server) RefuseReads(key string, ofHundred int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process.hidden[key] = ofHundred
}

// SetClock sets how far the server's clock is ahead of package time, or behind if negative. A
// restart does not change it.
func (s *Server) SetClock(ahead time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead = ahead
}

// now returns the time of the server's clock. The caller must hold mu.
func (s *Server) now() time.Time { return time.Now().Add(s.ahead) }

// Demote makes the server a replica: it reports this role and rejects writes.
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

// Do executes one command without a connection, and returns the encoded reply.
func (s *Server) Do(command ...string) string {
	p := newPeer(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peers == nil {
		return ""
	}
	return s.process.run(p, command)
}

// admit returns the peer for a new connection, or nil if the server is stopped.
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

// serve executes the commands of a connection until it ends.
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

// part removes a connection and its subscriptions. The caller must hold mu.
func (s *Server) part(p *peer) {
	if _, here := s.peers[p]; !here {
		return
	}
	delete(s.peers, p)
	s.process.hearers.part(p)
}

// answer executes a command and sends the reply, once the server is not paused. It reports
// whether the connection is still alive.
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
	s.answers++
	s.tally.count(command, time.Now())
	_, err := p.conn.Write([]byte(s.process.run(p, command)))
	return err == nil
}
