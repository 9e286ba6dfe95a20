package pusher

import (
	"context"
	"net/http"

	"tidegate/gateway"
	"tidegate/gateway/transport"
)

// home is where the fallback transports' sessions of this node live, each with a box.
// Requests of their clients come to the edge of this node, or of another one.

// What nodes tell each other: the one that has a request (its edge) the one that has
// the session (its home), and back.
const (
	topicRead  = "pusher_read"  // readWord, to the home: pass on what there is, once
	topicLeave = "pusher_leave" // readWord, to the home: the client has broken off, or must come back
	topicLines = "pusher_lines" // linesWord, to the edge
)

type readWord struct {
	Session string `json:"session"`
	Ticket  string `json:"ticket"`          // of the request
	Again   bool   `json:"again,omitempty"` // the edge has asked before, and got nothing
	Drain   bool   `json:"drain,omitempty"` // of a leave: the edge is about to end
}

type linesWord struct {
	Ticket string `json:"ticket"`
	Lines  []byte `json:"lines"`
	Last   bool   `json:"last,omitempty"`
}

// stay is a session of a home.
type stay struct {
	*box
	session *gateway.Session
}

func (x *XHR) stayOf(id string) *stay {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.stays[id]
}

// open begins a session on this node.
func (x *XHR) open(r *http.Request, app *app, id string) (err error) {
	hello := app.hello(lined{Protocol{app}}, id)
	hello.Key, hello.Transport, hello.Remote = keyOf(r), "xhr", r.RemoteAddr
	if hello.Principal, err = transport.Authenticate(x.gateway, r); err != nil {
		return err
	}
	session, err := x.gateway.Open(r.Context(), hello)
	if err != nil {
		return err
	}
	s := &stay{session: session}
	s.box = newBox(func() { x.working.Go(func() { x.passOn(s) }) }, func() { x.lose(s) })
	x.mu.Lock()
	x.stays[session.ID()] = s
	x.mu.Unlock()
	session.Attach(s.box)
	return nil
}

// lose ends a session whose client has gone.
func (x *XHR) lose(s *stay) {
	s.session.Close(gateway.Lost)
	x.forget(s)
}

func (x *XHR) forget(s *stay) {
	s.stop()
	x.mu.Lock()
	defer x.mu.Unlock()
	if id := s.session.ID(); x.stays[id] == s { // not another one, that its client has begun since
		delete(x.stays, id)
	}
}

// hearRead is told that a client asks for what there is.
func (x *XHR) hearRead(from string, w readWord) error {
	s := x.stayOf(w.Session)
	if s == nil {
		return notFound("the session is over: connect again")
	}
	s.ask(reader{from, w.Ticket}, !w.Again)
	return nil
}

// hearLeave is told that a request has broken off: then the client takes its session
// for lost, and begins another one.
func (x *XHR) hearLeave(_ string, w readWord) error {
	s := x.stayOf(w.Session)
	switch {
	case s == nil || !s.isLast(w.Ticket):
	case w.Drain:
		s.session.Close(gateway.Draining)
	default:
		x.lose(s)
	}
	return nil
}

// passOn brings what there is to those who ask for it, until there is none of both. If
// it is not known whether the client has it, it must begin anew.
func (x *XHR) passOn(s *stay) {
	defer x.gateway.Wall().Catch("pass on to a request", func() { s.session.Close(gateway.Failed); x.forget(s) })
	for {
		to, chunk, last, more := s.next()
		if !more {
			return
		}
		err := x.gateway.Tell(context.Background(), to.node, topicLines, linesWord{to.ticket, chunk, last})
		switch {
		case is(err, gateway.NotFound): // the request is over, and has taken nothing
			s.putBack(chunk)
			continue
		case err != nil:
			s.session.Close(gateway.Missed)
		case last:
			x.forget(s)
		}
		s.passed(len(chunk))
	}
}
