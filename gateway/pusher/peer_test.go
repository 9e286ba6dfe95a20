package pusher

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// peer is a client that exchanges JSON frames over a WebSocket.
type peer struct {
	t    testing.TB
	conn *websocket.Conn
}

// frame is a JSON frame of any protocol.
type frame map[string]any

func (f frame) text(name string) string {
	text, _ := f[name].(string)
	return text
}

// dial connects a client until the test ends.
func (n *node) dial(path string) *peer {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, response, err := websocket.Dial(ctx, "ws://"+n.host()+path, nil)
	if err != nil {
		n.t.Fatalf("dial %s: %v (%v)", path, err, response)
	}
	n.t.Cleanup(func() { _ = conn.CloseNow() }) // it may be closed already
	return &peer{n.t, conn}
}

func (p *peer) say(text string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := p.conn.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		p.t.Fatalf("say %s: %v", text, err)
	}
}

// hear returns the next frame unchanged.
func (p *peer) hear() string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, data, err := p.conn.Read(ctx)
	if err != nil {
		p.t.Fatalf("waited for a frame: %v", err)
	}
	return string(data)
}

// finds returns the next frame whose member has the given value. It skips other frames.
func (p *peer) finds(name, value string) frame {
	p.t.Helper()
	for {
		var f frame
		text := p.hear()
		if err := json.Unmarshal([]byte(text), &f); err != nil {
			p.t.Fatalf("heard %s: %v", text, err)
		}
		if f.text(name) == value {
			return f
		}
	}
}

// isClosed waits until the connection ends and returns how it ended.
func (p *peer) isClosed() websocket.CloseError {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		_, _, err := p.conn.Read(ctx)
		var closed websocket.CloseError
		if errors.As(err, &closed) {
			return closed
		}
		if err != nil {
			p.t.Fatalf("waited for a close frame: %v", err)
		}
	}
}

// native connects a native client and subscribes it to a channel.
func (n *node) native(channel string) *peer {
	n.t.Helper()
	p := n.dial("/ws")
	p.finds("type", "welcome")
	p.say(`{"type":"subscribe","id":1,"channel":"` + channel + `"}`)
	p.finds("type", "subscribed")
	return p
}

// request sends a signed request and returns the status and body of the answer.
func (n *node) request(a App, method, path, query, body string) (status int, answer string) {
	n.t.Helper()
	r, err := http.NewRequest(method, n.server.URL+path+"?"+signedQuery(a, method, path, query, body), strings.NewReader(body))
	must(n.t, err)
	return n.answer(r)
}
