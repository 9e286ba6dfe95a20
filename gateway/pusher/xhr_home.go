package pusher

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/transport"
)

// home is where the fallback transports' sessions of this node live, each with a box.
// Requests of their clients come to the edge of this node, or of another one.

func (s *stay) Close(reason gateway.Reason, rest []byte) {
	s.box.Close(reason, rest)
	s.over()
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
	switch {
	case errors.Is(err, gateway.ErrSessionOpen): // by a request of the same path, a moment ago
		return twice
	case err != nil:
		return err
	}
	s := &stay{session: session, since: time.Now()}
	s.over = func() { x.keepForAWhile(s) }
	s.said = &order{patience: x.patience, room: x.gateway.Budget, payer: session.Payer(), pass: func(frame []byte) { x.receive(s, hello.Key, frame) }}
	s.box = newBox(x.gateway.Budget, session.Payer(), func() { x.working.Go(func() { x.passOn(s) }) }, func() { x.lapse(s) })
	x.mu.Lock()
	x.stays[session.ID()] = s
	x.mu.Unlock()
	session.Attach(s)
	x.working.Go(func() { x.announce(s) })
	return nil
}

// announce has one session stay of those that were begun by the same path on several
// nodes at once, as when a balancer sends a request again.
func (x *XHR) announce(s *stay) {
	var telling sync.WaitGroup
	for _, node := range x.gateway.Nodes.Alive() {
		if node == x.gateway.Node() {
			continue
		}
		telling.Go(func() {
			err := x.gateway.Nodes.Tell(context.Background(), node, topicBegan, beganWord{s.session.ID(), s.since})
			if is(err, gateway.Forbidden) {
				s.session.Close(twice)
			}
		})
	}
	telling.Wait()
}

// twice ends all sessions of a path but the first one.
var twice = refusedWith(comeBack, "another request has begun this session before: connect again")

// hearBegan is told that another node has begun a session.
func (x *XHR) hearBegan(from string, w beganWord) error {
	s := x.stayOf(w.Session)
	switch {
	case s == nil:
		return nil
	case cmp.Or(s.since.Compare(w.Since), strings.Compare(x.gateway.Node(), from)) < 0:
		return fail(gateway.Forbidden, "the session is here")
	}
	s.session.Close(twice)
	return nil
}

// hearSaid takes what a client has said.
func (x *XHR) hearSaid(_ string, w sayWord) error {
	s := x.stayOf(w.Session)
	if s == nil {
		return notFound("the session is over: connect again")
	}
	s.said.add(w.Number, w.Said)
	return nil
}

// receive has the session do what its client has said. A client does not look at how
// its request is answered: it hears by an event of what was not done.
func (x *XHR) receive(s *stay, key string, frame []byte) {
	defer x.gateway.Wall().Catch("hear a request", func() { s.session.Close(gateway.Failed) })
	err := x.gateway.Users.SendTo(context.Background(), "", x.gateway.Node(), s.session.ID(), key, gateway.Frame{Data: frame})
	if is(err, gateway.RateLimited) {
		_, _, _ = s.take([][]byte{lineOf(failed(tooFast, gateway.ErrorOf(err).Message))}) // a box that is full closes the session
	}
}

// lose ends a session whose client has gone.
func (x *XHR) lose(s *stay) {
	s.session.Close(gateway.Lost)
	x.forget(s)
}

// lapse ends a session whose client has not asked for more in time. One that asks after
// all, a little later, is told so.
func (x *XHR) lapse(s *stay) {
	s.empty()
	s.session.Close(gateway.Lost.With("nothing was asked for within " + askPatience.String()))
	time.AfterFunc(askPatience, func() { x.forget(s) })
}

// mostOver are the sessions that are over whose last words a node keeps for their clients.
const mostOver = 256

// keepForAWhile forgets the session that has been over for longest, if there are too many.
func (x *XHR) keepForAWhile(s *stay) {
	x.mu.Lock()
	x.over = append(x.over, s)
	var oldest *stay
	if len(x.over) > mostOver {
		oldest, x.over[0] = x.over[0], nil
		x.over = x.over[1:]
	}
	x.mu.Unlock()
	if oldest != nil {
		x.forget(oldest)
	}
}

func (x *XHR) forget(s *stay) {
	s.stop()
	s.said.stop()
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
	s.said.seen(w.Number)
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
		err := x.gateway.Nodes.Tell(context.Background(), to.node, topicLines, linesWord{to.ticket, chunk, last})
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
