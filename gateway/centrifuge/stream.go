package centrifuge

import (
	"crypto/rand"
	"net/http"
	"strings"

	"tidegate/gateway"
	"tidegate/gateway/transport"
)

// NewStream returns a handler for clients that receive a stream, in the framing Lines or
// Events. The first commands, including a connect, are the body of a POST or, for
// Server-Sent Events, ?cf_connect=. Later commands go to NewEmulation's handler on any
// node; a one-way client sends none. A refusal is sent in the stream, unless the request
// itself is wrong. Which pages may connect is decided by CORS.
func NewStream(g *gateway.Gateway, framing Framing, oneWay bool) http.Handler {
	s := &stream{g, framing, oneWay}
	if framing == Events {
		return transport.Only(s, http.MethodGet, http.MethodPost)
	}
	return transport.Only(s, http.MethodPost)
}

type stream struct {
	gateway *gateway.Gateway
	framing Framing
	oneWay  bool
}

// ServeHTTP serves one stream and returns when it has ended.
func (s *stream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p := s.protocolOf(r)
	session, err := s.admit(w, r, p)
	if err != nil {
		transport.Refuse(w, err)
		return
	}
	transport.BeginStream(w, r, p.contentType())
	pump := transport.NewPump(w, p.last)
	session.Attach(pump)
	session.End(pump.Run(r.Context()))
	transport.LeaveUnread(w, r) // if the client is refused, its body may never arrive, and a stream has no deadline
}

// admit returns the client's session, or one that tells it why the gateway refuses. It reads
// the body only if the address may send requests. An error means that the request is wrong.
func (s *stream) admit(w http.ResponseWriter, r *http.Request, p Protocol) (*gateway.Session, error) {
	if err := s.gateway.Users.Spend(r.RemoteAddr); err != nil {
		return s.gateway.Refuse(s.hello(r, p), err), nil
	}
	said, release, err := s.read(w, r)
	if err != nil {
		return nil, err
	}
	defer release()
	return s.open(r, p, said)
}

func (s *stream) hello(r *http.Request, p Protocol) gateway.Hello {
	h := hello(p)
	h.Transport, h.Remote = s.name(), r.RemoteAddr
	return h
}

// read returns the client's first commands.
func (s *stream) read(w http.ResponseWriter, r *http.Request) (said []byte, release func(), err error) {
	if r.Method == http.MethodPost {
		payer := s.gateway.Budget.Payer(&gateway.Principal{}, r.RemoteAddr) // the user is not known yet: the token is in the body
		return transport.ReadBody(s.gateway.Budget, payer, w, r, mostSaid(s.gateway))
	}
	said = []byte(r.URL.Query().Get(connectParameter))
	if len(said) == 0 && !s.oneWay {
		return nil, nil, &gateway.Error{Code: gateway.BadRequest, Message: "the connect command is missing: give it as ?cf_connect=, or as the body of a POST"}
	}
	return said, func() {}, nil
}

// mostSaid returns the most bytes that a client may send at once: a payload of the largest
// size, escaped, and what surrounds it.
func mostSaid(g *gateway.Gateway) int {
	if most := g.Limits().MessageBytes; most > 0 {
		return 2*most + 4<<10
	}
	return maxBody
}

func (s *stream) protocolOf(r *http.Request) Protocol {
	p := Protocol{Framing: s.framing, OneWay: s.oneWay}
	if s.framing == Lines && !s.oneWay && isProtobuf(r) {
		p.Format = Protobuf
	}
	return p
}

func isProtobuf(r *http.Request) bool {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.TrimSpace(kind) == octets
}

const octets = "application/octet-stream"

func (p Protocol) contentType() string {
	switch {
	case p.Framing == Events:
		return transport.EventStream
	case p.Format == Protobuf:
		return octets
	}
	return "application/json"
}

// open opens the session and passes it the first commands. If the gateway refuses, open
// returns a session that tells the client why, and no error.
func (s *stream) open(r *http.Request, p Protocol, said []byte) (session *gateway.Session, err error) {
	h := s.hello(r, p)
	if s.oneWay {
		if h.Commands, err = p.Decode(gateway.Frame{Data: said}); err != nil {
			return nil, &gateway.Error{Code: gateway.BadRequest, Message: err.Error()}
		}
	} else {
		h.Key = rand.Text()
	}
	if h.Principal, err = transport.Authenticate(s.gateway, r); err == nil {
		session, err = s.gateway.Open(r.Context(), h)
	}
	if err != nil {
		return s.gateway.Refuse(h, err), nil
	}
	if !s.oneWay {
		err = session.Enqueue(gateway.Frame{Data: said, Binary: p.Format == Protobuf})
	}
	if err != nil {
		session.Close(gateway.Overloaded.With(gateway.ErrorOf(err).Message))
	}
	return session, nil
}

// name returns the label of this transport in metrics.
func (s *stream) name() string {
	if s.framing == Events {
		return "sse"
	}
	return "http_stream"
}
