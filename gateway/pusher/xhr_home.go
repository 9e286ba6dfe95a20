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

// This file is the home of the fallback transports' sessions: each session of this node has
// a box. The requests of its client may arrive at this node or at another one: see
// xhr_edge.go.

func (s *stay) Close(reason gateway.Reason, rest []byte) {
	s.box.Close(reason, rest)
	s.over()
}

func (x *XHR) stayOf(id string) *stay {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.stays[id]
}

// open opens a session on this node.
func (x *XHR) open(r *http.Request, app *app, id string) (err error) {
	hello := app.hello(lined{Protocol{app}}, id)
	hello.Key, hello.Transport, hello.Remote = keyOf(r), "xhr", r.RemoteAddr
	if hello.Principal, err = transport.Authenticate(x.gateway, r); err != nil {
		return err
	}
	session, err := x.gateway.Open(r.Context(), hello)
	switch {
	case errors.Is(err, gateway.ErrSessionOpen): // a request with the same path has just opened it, or it has just ended
		return twice
	case err != nil:
		return err
	}
	s := &stay{session: session, since: time.Now()}
	s.over = func() { x.keepForAWhile(s) }
	s.said = &order{patience: x.patience, room: x.gateway.Budget, payer: session.Payer(), pass: func(frame []byte) { x.receive(s, frame) }}
	s.box = newBox(x.gateway.Budget, session.Payer(), func() { x.working.Go(func() { x.passOn(s) }) }, func() { x.lapse(s) })
	x.mu.Lock()
	x.stays[session.ID()] = s
	x.mu.Unlock()
	session.Attach(s)
	x.working.Go(func() { x.announce(s) })
	return nil
}

// announce tells all other nodes about a new session. If several nodes have opened a session
// for the same path at once, for example because a load balancer retried a request, only one
// of these sessions remains.
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

// twice is the reason that ends all sessions of a path except the first one, until that has
// released all that it holds.
var twice = refusedWith(comeBack, "this session has begun before, or has not quite ended: connect again")

// hearBegan is called when another node has opened a session. If this node has an earlier
// one for the same path, hearBegan returns Forbidden; if it has a later one, it closes that.
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

// hearSaid receives what a client has sent.
func (x *XHR) hearSaid(_ string, w sayWord) error {
	s := x.stayOf(w.Session)
	if s == nil {
		return notFound("the session is over: connect again")
	}
	if w.Lost != "" {
		s.session.Close(gateway.Overloaded.With(w.Lost))
		return nil
	}
	s.said.add(w.Number, w.Said)
	return nil
}

// receive passes a client's frame to its session. Clients ignore the status of their
// requests, so an error is sent to them as an event.
func (x *XHR) receive(s *stay, frame []byte) {
	defer x.gateway.Wall().Catch("hear a request", func() { s.session.Close(gateway.Failed) })
	err := s.session.Enqueue(gateway.Frame{Data: frame})
	switch {
	case is(err, gateway.Unavailable):
		s.session.Close(gateway.Overloaded.With(gateway.ErrorOf(err).Message))
	case is(err, gateway.RateLimited):
		_, _, _ = s.take([][]byte{lineOf(failed(tooFast, gateway.ErrorOf(err).Message))}) // if the box is full, the session is closed anyway
	}
}

// lose ends a session whose client has disconnected.
func (x *XHR) lose(s *stay) {
	s.session.Close(gateway.Lost)
	x.forget(s)
}

// lapse ends a session whose client has not asked for more in time. If the client asks
// within another askPatience, it is told why the session has ended.
func (x *XHR) lapse(s *stay) {
	s.empty()
	s.session.Close(gateway.Lost.With("nothing was asked for within " + askPatience.String()))
	time.AfterFunc(askPatience, func() { x.forget(s) })
}

// mostOver is the maximum number of ended sessions whose last lines a node keeps for their
// clients.
const mostOver = 256

// keepForAWhile adds an ended session to those kept. If there are too many, it forgets the
// one that ended first.
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
	if id := s.session.ID(); x.stays[id] == s { // the client may have begun a new session with this id
		delete(x.stays, id)
	}
}

// hearRead is called when a client asks for more lines. If the edge asks again, it has its
// answer still to come: another one might find nobody who takes it.
func (x *XHR) hearRead(from string, w readWord) error {
	s := x.stayOf(w.Session)
	switch {
	case s == nil:
		return notFound("the session is over: connect again")
	case !w.Again:
		s.said.seen(w.Number)
		s.ask(reader{from, w.Ticket})
	}
	return nil
}

// hearLeave is called when a request was interrupted, or when its edge shuts down. In the
// first case the client takes its session for lost and begins another one.
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

// passOn sends what waits to the requests that ask for it, until nothing waits or no request
// asks. If it cannot know whether the client received a chunk, it ends the session, so that
// the client starts again.
func (x *XHR) passOn(s *stay) {
	defer x.gateway.Wall().Catch("pass on to a request", func() { s.session.Close(gateway.Failed); x.forget(s) })
	for {
		to, chunk, last, more := s.next()
		if !more {
			return
		}
		err := x.gateway.Nodes.Tell(context.Background(), to.node, topicLines, linesWord{to.ticket, chunk, last})
		switch {
		case is(err, gateway.NotFound): // the request has ended and did not take the chunk
			s.putBack(chunk)
			continue
		case err != nil && !last:
			s.session.Close(gateway.Missed)
			s.offer(to) // which may not have got the chunk, but can get the reason
		case last:
			x.forget(s)
		}
		s.passed(len(chunk))
	}
}
