package websocket

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"tidegate/gateway"
)

// recorder is a protocol that records what a client sends.
type recorder struct {
	mu       sync.Mutex
	messages []string
}

func (*recorder) Name() string { return "recorder" }

func (r *recorder) Decode(f gateway.Frame) ([]gateway.Command, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages = append(r.messages, described(f.Binary, string(f.Data)))
	return nil, nil
}

func (*recorder) Encode(gateway.Event) (gateway.Frame, error) { return gateway.Frame{}, nil }

func described(binary bool, data string) string {
	if binary {
		return "binary " + data
	}
	return "text " + data
}

// recording serves /record, where sessions are recorded.
type recording struct {
	*node
	mu  sync.Mutex
	all map[string]*recorder // by the id in the query
}

// record serves recorded sessions, with compression if the client agrees.
func (n *node) record() *recording {
	all := &recording{node: n, all: make(map[string]*recorder)}
	n.webSocket.Deflate = NewDeflate(0)
	n.mux.Handle("/record", n.webSocket.Handler(func(r *http.Request) (gateway.Hello, error) {
		return gateway.Hello{Protocol: all.take(r.FormValue("id"))}, nil
	}))
	return all
}

func (all *recording) take(id string) *recorder {
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.all[id] == nil {
		all.all[id] = &recorder{}
	}
	return all.all[id]
}

// The codes for a close frame without a code, and for no close frame (RFC 6455, section
// 7.1.5).
const (
	noCode  = 1005
	noFrame = 1006
)

// outcome is the result of sending a client's bytes.
type outcome struct {
	messages []string
	pongs    []string
	code     int    // of the close frame
	reason   string // of the close frame
	broken   bool   // the connection did not end cleanly
}

// hear sends a client's bytes in pieces, ends the stream, and returns the outcome.
func (all *recording) hear(t testing.TB, said string, compressed bool, cuts *rand.Rand) (o outcome) {
	t.Helper()
	id := fmt.Sprint(rand.Int63())
	request := "/record?id=" + id
	handshake := strings.Replace(handshake, "/ws", request, 1)
	if compressed {
		handshake = offering(request)
	}
	n := *all.node
	n.t = t
	r := n.dialRaw()
	defer r.Conn.Close()
	r.send(handshake)
	if status := r.expectStatus(); status != http.StatusSwitchingProtocols {
		t.Fatalf("status %d", status)
	}
	for rest := said; rest != ""; {
		n := 1 + cuts.Intn(len(rest))
		if _, err := io.WriteString(r, rest[:n]); err != nil {
			break // the gateway has closed the connection
		}
		rest = rest[n:]
	}
	r.Conn.(*net.TCPConn).CloseWrite()
	o.read(r)
	recorded := all.take(id)
	recorded.mu.Lock()
	defer recorded.mu.Unlock()
	o.messages = recorded.messages
	return o
}

// read reads what the gateway sends, up to the end.
func (o *outcome) read(r *rawPeer) {
	o.code = noFrame
	for {
		first, payload, err := r.readFrame()
		switch {
		case err == io.EOF:
			return
		case err != nil:
			o.broken = true
			return
		case first == final|opPong:
			o.pongs = append(o.pongs, string(payload))
		case first == final|opClose && len(payload) == 0:
			o.code = noCode
		case first == final|opClose:
			o.code, o.reason = int(binary.BigEndian.Uint16(payload)), string(payload[2:])
		default:
			r.t.Errorf("a frame begins with %#x", first)
		}
	}
}

func (*recorder) Farewell(r gateway.Reason) (code int, text string) { return r.Code, r.Text }
