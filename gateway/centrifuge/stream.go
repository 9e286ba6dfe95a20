package centrifuge

import (
	"crypto/rand"
	"net/http"
	"strings"

	"tidegate/gateway"
	"tidegate/gateway/transport"
)

// NewStream returns a handler for clients that listen to the body of a response, as Lines
// or Events. Their first commands, with
// a connect among them, are the body of a POST or, of Server-Sent Events, ?cf_connect=;
// what they say later comes to NewEmulation's, on any node. One way they say nothing but their
// connect request. A refusal is told by the protocol, in the stream, but for one that
// concerns the request itself. CORS decides which pages may.
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

// ServeHTTP serves one stream, and returns when it has ended.
func (s *stream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	said, release, err := s.read(w, r)
	if err != nil {
		transport.Refuse(w, err)
		return
	}
	p := s.protocolOf(r)
	session, err := s.open(r, p, said)
	release()
	if err != nil {
		transport.Refuse(w, err)
		return
	}
	transport.BeginStream(w, r, p.contentType())
	pump := transport.NewPump(w, p.last)
	session.Attach(pump)
	session.End(pump.Run(r.Context()))
}

// read returns what the client says first.
func (s *stream) read(w http.ResponseWriter, r *http.Request) (said []byte, release func(), err error) {
	if r.Method == http.MethodPost {
		payer := s.gateway.Budget.Payer(&gateway.Principal{}, r.RemoteAddr) // who it is, the body says
		return readBody(s.gateway, payer, w, r, mostSaid(s.gateway))
	}
	said = []byte(r.URL.Query().Get(connectParameter))
	if len(said) == 0 && !s.oneWay {
		return nil, nil, &gateway.Error{Code: gateway.BadRequest, Message: "the connect command is missing: give it as ?cf_connect=, or as the body of a POST"}
	}
	return said, func() {}, nil
}

// mostSaid is how much a client may say at once: a payload of the limit's size, escaped,
// and what is said around it.
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

// open opens the session, to which the client has said something. A session that says
// why there is none is no error.
func (s *stream) open(r *http.Request, p Protocol, said []byte) (session *gateway.Session, err error) {
	h := hello(p)
	h.Transport, h.Remote = s.name(), r.RemoteAddr
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
		frame := gateway.Frame{Data: said, Binary: p.Format == Protobuf}
		err = s.gateway.SendTo(r.Context(), "", s.gateway.Node(), session.ID(), h.Key, frame)
	}
	if err != nil {
		session.Close(gateway.Failed)
	}
	return session, nil
}

// name is a label of metrics.
func (s *stream) name() string {
	if s.framing == Events {
		return "sse"
	}
	return "http_stream"
}
