package transport

import (
	"log/slog"
	"net/http"
	"sync"

	"tidegate/gateway"
	"tidegate/gateway/internal/wall"
)

// WebSocket serves WebSocket clients (RFC 6455). Fill in the exported fields
// before the first use; all methods may be called concurrently.
type WebSocket struct {
	Gateway *gateway.Gateway
	Origins Origins      // of pages that may connect, beside the same origin
	Deflate *Deflate     // for clients that agree to it; nil: nothing is compressed
	Log     *slog.Logger // nil: none

	memory  memory
	serving sync.WaitGroup // of connections
	polling sync.Once
	poller  *poller // set by polling; nil: there is none
	plain   bool    // no poller is wanted; for tests
}

// memory is what connections share, so that those with nothing to do own none.
type memory struct {
	wall     *wall.Wall // stops the panics of their goroutines; nil: and nobody hears of them
	scratch  scratch    // to write
	blocks   sync.Pool  // of *[blockBytes]byte, to read
	messages sync.Pool  // of *[]byte, for what was read
	parsers  sync.Pool  // of *parser
}

// Greet says what a request asks for: it fills in a Hello's Protocol, and its
// AuthLater, Channel and Commands where they matter. Its error is answered with
// the status that StatusOf gives it.
type Greet func(*http.Request) (gateway.Hello, error)

// Handler returns a handler that makes WebSockets of requests. A refusal is an
// HTTP status and a JSON body, before any upgrade. The handler returns when the
// session has begun, for net/http to free what a request holds. The session goes
// on until it ends, which Wait waits for; it has a goroutine while its client has
// something to say, and on systems without epoll, or over TLS, always.
func (ws *WebSocket) Handler(greet Greet, subprotocols ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		makeRoom(0)
		extension := ws.extension(r)
		session, err := ws.open(w, r, greet, extension)
		if err != nil {
			return
		}
		conn, err := ws.accept(w, r, subprotocols, extension)
		if err != nil {
			ws.logger().Debug("WebSocket handshake failed", "remote", r.RemoteAddr, "error", err)
			session.Close(gateway.Lost)
			return
		}
		conn.begin(session, ws.poller, &ws.serving)
	})
}

// Wait returns once every connection has been closed. Call it when no handler
// runs any more: ws takes no other connection.
func (ws *WebSocket) Wait() {
	ws.serving.Wait()
	ws.polling.Do(func() {}) // too late
	ws.poller.close()
}

// extension returns what is agreed to with the client; "": nothing.
func (ws *WebSocket) extension(r *http.Request) string {
	if ws.Deflate == nil {
		return ""
	}
	return answerTo(r.Header["Sec-Websocket-Extensions"])
}

// open opens the session, or answers the request and returns why not.
func (ws *WebSocket) open(w http.ResponseWriter, r *http.Request, greet Greet, extension string) (*gateway.Session, error) {
	if err := checkUpgrade(w, r); err != nil {
		RefuseAs(w, http.StatusUpgradeRequired, err)
		return nil, err
	}
	if err := checkKey(r); err != nil {
		Refuse(w, err)
		return nil, err
	}
	session, err := ws.openSession(r, greet, extension)
	if err != nil {
		Refuse(w, err)
	}
	return session, err
}

func (ws *WebSocket) openSession(r *http.Request, greet Greet, extension string) (*gateway.Session, error) {
	if err := ws.Origins.Check(r); err != nil {
		return nil, err
	}
	principal, err := Authenticate(ws.Gateway, r)
	if err != nil {
		return nil, err
	}
	hello, err := greet(r)
	if err != nil {
		return nil, err
	}
	if extension == "" {
		hello.Protocol = Framed(hello.Protocol)
	} else {
		hello.Protocol = ws.Deflate.Framed(hello.Protocol)
	}
	hello.Transport = "websocket"
	hello.Principal = principal
	hello.Remote = r.RemoteAddr
	return ws.Gateway.Open(r.Context(), hello)
}

func (ws *WebSocket) accept(w http.ResponseWriter, r *http.Request, subprotocols []string, extension string) (*webSocketConn, error) {
	ws.polling.Do(ws.startPoller)
	peer, early, answer, err := upgrade(w, r, subprotocols, extension)
	if err != nil {
		return nil, err
	}
	conn := &webSocketConn{limit: ws.frameLimit()}
	if extension != "" {
		conn.wire.deflate = ws.Deflate
	}
	conn.wire.shared = &ws.memory
	conn.wire.begin(peer, early)
	conn.wire.owed, conn.wire.owedBegun = answer, true
	return conn, nil
}

func (ws *WebSocket) startPoller() {
	ws.memory.wall = ws.Gateway.Wall()
	if !ws.plain {
		ws.poller = newPoller(ws.memory.wall)
	}
}

// frameLimit is how long a client's message may be on the wire, and when it is
// inflated: a payload of the limit's size, escaped or in base64, and what is said
// around it.
func (ws *WebSocket) frameLimit() int64 {
	most := int64(ws.Gateway.Limits().MessageBytes)
	if most == 0 {
		return -1
	}
	return 2*most + 4<<10
}

func (ws *WebSocket) logger() *slog.Logger {
	if ws.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return ws.Log
}
