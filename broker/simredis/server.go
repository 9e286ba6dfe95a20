package simredis

import (
	"bufio"
	"bytes"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	miniserver "github.com/alicebob/miniredis/v2/server"
)

// Server is one Redis server, of as many processes, one after the other, as it is
// started. All methods may be called concurrently.
type Server struct {
	Address string // host:port

	servers *Servers

	// Guarded by mu: a server does one thing at a time.
	mu      sync.Mutex
	data    *miniredis.Miniredis // nil: it does not run
	runID   string
	writes  []write // all that there were, from nothing on
	doing   int     // number of the command of a client that is being done
	wrote   int     // number of the last one that has written
	peers   map[*peer]struct{}
	hearers map[subscription][]*peer
	scripts map[string]string // by their SHA-1
	resumed chan struct{}     // closed when it goes on; nil: it does not stand still
	refusal string            // the answer to all that writes; empty: it is done
	replica bool
	ahead   time.Duration // its clock is
}

// peer is a connection to a server.
type peer struct {
	conn           *end
	parser         *miniserver.Peer // writes what miniredis answers to answer
	answer         bytes.Buffer
	plain, sharded int // subscriptions
}

func newPeer(conn *end) *peer {
	p := &peer{conn: conn}
	p.parser = newParser(&p.answer)
	return p
}

// Start begins a process that has nothing.
func (s *Server) Start() { s.StartFrom(Mark{}) }

// StartFrom begins a process that has what was told up to the mark. If another one
// runs, that ends.
func (s *Server) StartFrom(m Mark) {
	s.Stop()
	runID := s.servers.newRunID()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runID, s.refusal, s.replica = runID, "", false
	s.peers, s.hearers = make(map[*peer]struct{}), make(map[subscription][]*peer)
	s.scripts = make(map[string]string)
	s.writes = slices.Clip(m.writes)
	s.data = s.load(s.writes)
}

// load returns what is there after the writes.
func (s *Server) load(writes []write) *miniredis.Miniredis {
	data := miniredis.NewMiniRedis()
	conn, err := data.Dial() // which starts it
	if err != nil {
		panic(err) // it opens nothing
	}
	conn.Close()
	data.Seed(int(s.servers.seed))
	data.ClockTTL(true)
	replay := newParser(&bytes.Buffer{})
	for _, w := range writes {
		data.SetTime(w.at)
		data.Server().Dispatch(replay, w.command)
	}
	data.SetTime(s.now())
	data.Keys() // ends what has run out since the last write
	data.Server().SetPreHook(s.intercept)
	return data
}

func newParser(answer *bytes.Buffer) *miniserver.Peer {
	return miniserver.NewPeer(bufio.NewWriter(answer))
}

// Stop ends the process: what it holds is gone, and connections are reset.
func (s *Server) Stop() {
	s.mu.Lock()
	data, peers := s.data, s.peers
	s.data, s.peers = nil, nil
	s.mu.Unlock()
	for p := range peers {
		p.conn.cable.sever()
	}
	if data != nil {
		data.Close()
	}
}

// Mark is what the server has been told so far.
func (s *Server) Mark() Mark {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Mark{slices.Clip(s.writes)}
}

// Before returns a mark at which the last n commands of clients that wrote something
// have not been. A script is one command.
func (m Mark) Before(n int) Mark {
	writes := m.writes
	for ; n > 0 && len(writes) > 0; n-- {
		for last := writes[len(writes)-1].whole; len(writes) > 0 && writes[len(writes)-1].whole == last; {
			writes = writes[:len(writes)-1]
		}
	}
	return Mark{slices.Clip(writes)}
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
	s.refusal = refusal
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
	s.replica, s.refusal = true, "READONLY You can't write against a read only replica."
}

// Flush removes all keys.
func (s *Server) Flush() { s.Do("FLUSHALL") }

// Do runs one command as a client would that is at hand, and returns the answer as it
// is sent.
func (s *Server) Do(command ...string) string {
	p := newPeer(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.data == nil {
		return ""
	}
	return s.run(p, command)
}

// admit returns the peer for a new connection, or nil if nobody listens.
func (s *Server) admit(conn *end) *peer {
	p := newPeer(conn)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.data == nil {
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
	for q := range s.hearers {
		s.forget(p, q)
	}
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
	_, err := p.conn.Write([]byte(s.run(p, command)))
	return err == nil
}

// run returns the answer to a command. It is called with mu held.
func (s *Server) run(p *peer, command []string) string {
	if do := ownCommands[strings.ToUpper(command[0])]; do != nil {
		return do(s, p, command)
	}
	return s.ask(p, command)
}

// ask returns what miniredis answers. It is called with mu held.
func (s *Server) ask(p *peer, command []string) string {
	p.answer.Reset()
	s.doing++
	s.data.SetTime(s.now())
	s.data.Server().Dispatch(p.parser, command)
	p.parser.Flush()
	return p.answer.String()
}

// intercept is called by miniredis before each command, those of scripts, too, and
// reports whether it has answered. It is called with mu held.
func (s *Server) intercept(to *miniserver.Peer, command string, args ...string) bool {
	switch {
	case command == "PUBLISH" || command == "SPUBLISH":
		to.WriteInt(s.publish(command == "SPUBLISH", args[0], args[1]))
	case command == "INFO":
		to.WriteBulk(s.info())
	case !writing[command]:
		return false
	case s.refusal != "" && s.wrote != s.doing && !(freeing[command] && !s.replica):
		to.WriteError(s.refusal)
	default:
		s.wrote = s.doing // a script that has begun to write goes on
		s.writes = append(s.writes, write{s.now(), append([]string{command}, args...), s.doing})
		return false
	}
	return true
}

// writing are the commands of the broker's that change something.
var writing = map[string]bool{
	"SET": true, "INCR": true, "DEL": true, "PEXPIRE": true, "PERSIST": true, "HSET": true, "HDEL": true, "XADD": true,
	"XDEL": true, "XTRIM": true, "SADD": true, "SREM": true, "ZADD": true, "ZREM": true, "FLUSHALL": true, "FLUSHDB": true,
}

// freeing are those of them that a full Redis does.
var freeing = map[string]bool{
	"DEL": true, "PEXPIRE": true, "PERSIST": true, "HDEL": true, "XDEL": true, "XTRIM": true, "SREM": true, "ZREM": true,
	"FLUSHALL": true, "FLUSHDB": true,
}
