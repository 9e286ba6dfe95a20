package websocket

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/transport"
)

// Server serves WebSocket clients. Set the exported fields before the first use. All methods
// are safe for concurrent use.
type Server struct {
	Gateway *gateway.Gateway
	Origins transport.Origins // origins of pages that may connect, besides the same origin
	Deflate *Deflate          // for clients that agree to it; nil disables compression
	Engine  Engine            // "" means Auto
	Log     *slog.Logger      // nil means no log

	starting sync.Once
	shared   *shared
	fronts   []*front
	epoll    engine // nil if there is none
	portable engine
}

// Greet returns the Hello for a request. It sets Protocol and all other relevant fields but
// Transport, Principal and Remote. If it returns an error, the request is refused with the
// status of transport.StatusOf; if the Hello says TellRefusal, the Protocol tells the client
// instead. Greet is called before the origin of the request is checked.
type Greet func(*http.Request) (gateway.Hello, error)

// Engine selects how connections are read. See the documentation of the package.
type Engine string

const (
	Auto     Engine = "auto"     // Epoll where possible, else Portable
	Epoll    Engine = "epoll"    // on Linux, for connections without TLS
	Portable Engine = "portable" // a goroutine for each connection, on every system
)

// Handler returns a handler that upgrades requests to WebSockets. A refused request gets an
// HTTP status and a JSON body instead of an upgrade, unless Greet asks for TellRefusal. The
// handler returns as soon as the session has begun, so that net/http frees the memory of the
// request. The session goes on until it ends; see Wait.
func (s *Server) Handler(greet Greet, subprotocols ...string) http.Handler {
	return endpoint{transport.Stream(s.handler(greet, subprotocols))}
}

// endpoint is a handler of WebSockets.
type endpoint struct{ http.Handler }

func (s *Server) handler(greet Greet, subprotocols []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.starting.Do(s.start)
		if !checkUpgrade(w, r) {
			return
		}
		growStack(0)
		agreed := agreement{choose(subprotocols, r.Header["Sec-Websocket-Protocol"]), s.extension(r)}
		session, err := s.open(r, greet, agreed)
		if err != nil {
			transport.Refuse(w, err)
			return
		}
		if err := s.engineFor(r).take(w, r, session, agreed); err != nil {
			s.logger().Debug("WebSocket handshake failed", "remote", r.RemoteAddr, "error", err)
			session.Close(gateway.Lost)
		}
	})
}

// lastPatience is how long Wait waits for peers that have been sent a close frame.
const lastPatience = 300 * time.Millisecond

// Wait returns once every connection has been closed: by the closing handshake or, after
// lastPatience, without it. Call it when the gateway has ended all sessions, and no handler
// runs any more. It closes what Front has returned.
func (s *Server) Wait() {
	s.starting.Do(s.start)
	s.shared.end() // nobody waits for the results of commands any more
	for _, f := range s.fronts {
		f.stop()
	}
	closed := make(chan struct{})
	go func() {
		s.shared.serving.Wait()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(lastPatience):
		s.each(engine.hangUp)
		<-closed
	}
	s.each(engine.close)
}

func (s *Server) start() {
	s.shared = &shared{wall: s.Gateway.Wall(), limit: s.frameLimit(), deflate: s.Deflate, began: time.Now()}
	s.shared.life, s.shared.end = context.WithCancel(context.Background())
	s.shared.unfinished.budget, s.shared.most = s.Gateway.Budget, s.Gateway.Limits().Sessions
	s.shared.pace.wall, s.shared.pace.every = s.shared.wall, paceInterval
	s.portable = newPortable(s.shared)
	if s.Engine == Portable {
		return
	}
	var err error
	if s.epoll, err = newEpoll(s.shared); err != nil && s.Engine == Epoll {
		s.logger().Warn("there is no epoll: each WebSocket has a goroutine", "error", err)
	}
}

func (s *Server) engineFor(r *http.Request) engine {
	if s.epoll == nil || r.TLS != nil {
		return s.portable
	}
	return s.epoll
}

func (s *Server) each(do func(engine)) {
	do(s.portable)
	if s.epoll != nil {
		do(s.epoll)
	}
}

// extension returns the extensions agreed on with the client, or "" if there are none.
func (s *Server) extension(r *http.Request) string {
	if s.Deflate == nil {
		return ""
	}
	return answerTo(r.Header["Sec-Websocket-Extensions"])
}

// open opens the session, or returns why it is refused.
func (s *Server) open(r *http.Request, greet Greet, agreed agreement) (*gateway.Session, error) {
	if err := checkKey(r); err != nil {
		return nil, err
	}
	hello, err := greet(r)
	if err != nil && !hello.TellRefusal {
		return nil, err
	}
	s.complete(&hello, r, agreed)
	if err == nil {
		err = s.admit(&hello, r)
	}
	var session *gateway.Session
	if err == nil {
		session, err = s.Gateway.Open(r.Context(), hello)
	}
	if err != nil && hello.TellRefusal {
		return s.Gateway.Refuse(hello, err), nil
	}
	return session, err
}

// complete sets the fields of hello that the transport knows.
func (s *Server) complete(hello *gateway.Hello, r *http.Request, agreed agreement) {
	if agreed.extension == "" {
		hello.Protocol = Framed(hello.Protocol)
	} else {
		hello.Protocol = s.Deflate.Framed(hello.Protocol)
	}
	hello.Transport = "websocket"
	hello.Remote = r.RemoteAddr
}

// admit checks the origin of the request and sets the Principal of hello.
func (s *Server) admit(hello *gateway.Hello, r *http.Request) (err error) {
	if err := s.Origins.Check(r); err != nil {
		return err
	}
	hello.Principal, err = transport.Authenticate(s.Gateway, r)
	return err
}

// frameLimit returns the maximum size of a client's message in bytes, both on the wire and
// inflated, or -1 if there is none. It allows for a payload of the configured size in
// escaped form or in base64, and for the data around it.
func (s *Server) frameLimit() int64 {
	most := int64(s.Gateway.Limits().MessageBytes)
	if most == 0 {
		return -1
	}
	return 2*most + 4<<10
}

func (s *Server) logger() *slog.Logger {
	if s.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Log
}
