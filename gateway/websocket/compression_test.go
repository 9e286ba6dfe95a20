package websocket

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"tidegate/gateway"
	"tidegate/gateway/raw"

	"github.com/coder/websocket"
)

// deflating also serves /deflated and /deflated/raw, where clients may agree to compression
// of messages from 256 bytes on.
func (n *node) deflating() *node {
	ws := &Server{Gateway: n.Gateway, Deflate: NewDeflate(256), Engine: n.webSocket.Engine}
	n.mux.Handle("/deflated", ws.Handler(greetNative))
	n.mux.Handle("/deflated/raw", ws.Handler(func(*http.Request) (gateway.Hello, error) {
		return gateway.Hello{Protocol: raw.Protocol{}, Channel: "chat", Commands: []gateway.Command{gateway.Subscribe{}}}, nil
	}))
	n.t.Cleanup(func() {
		n.stop()
		n.server.Close()
		ws.Wait()
	})
	return n
}

// offering returns a handshake that offers compression.
func offering(path string) string {
	request := strings.Replace(handshake, "/ws", path, 1)
	return strings.Replace(request, "\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n", 1)
}

// dialDeflated returns a peer that has agreed to compression.
func (n *node) dialDeflated() *rawPeer {
	n.t.Helper()
	r := n.dialRaw()
	r.send(offering("/deflated"))
	if got := r.expectStatus(); got != http.StatusSwitchingProtocols {
		n.t.Fatalf("status %d", got)
	}
	r.expectFrame(opText)
	return r
}

func (n *node) dialAt(path string, mode websocket.CompressionMode) *client {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	n.t.Cleanup(cancel)
	scheme := "ws"
	if strings.HasPrefix(n.server.URL, "https") {
		scheme = "wss"
	}
	conn, _, err := websocket.Dial(ctx, n.address(scheme, path), &websocket.DialOptions{
		HTTPClient: n.server.Client(), CompressionMode: mode, CompressionThreshold: 100,
	})
	must(n.t, err)
	conn.SetReadLimit(1 << 24)
	n.t.Cleanup(func() { conn.CloseNow() })
	return &client{conn, n.t, ctx}
}

func TestWebSocket_CompressedMessagesGoBothWays(t *testing.T) {
	eachEngineAndTLS(t, func(t *testing.T, start starter) {
		n := start(t, gateway.Config{}).deflating()
		for _, mode := range []websocket.CompressionMode{websocket.CompressionNoContextTakeover, websocket.CompressionContextTakeover, websocket.CompressionDisabled} {
			c := n.dialAt("/deflated", mode)
			c.expect("welcome")
			c.say(`{"type":"subscribe","id":1,"channel":"chat"}`)
			c.expect("subscribed")
			for _, size := range []int{0, 1, 200, 300, 1_000, 60_000, 300} {
				data := strings.Repeat("x", size)
				c.say(`{"type":"publish","channel":"chat","data":%q}`, data)
				if got := c.expect("message")["data"]; got != data {
					t.Fatalf("a message of %d bytes came back different", size)
				}
			}
			c.Close(websocket.StatusNormalClosure, "")
		}
		n.awaitSessions(0)
	})
}

func TestWebSocket_CompressesRawMessages(t *testing.T) {
	eachEngineAndTLS(t, func(t *testing.T, start starter) {
		n := start(t, gateway.Config{}).deflating()
		c := n.dialAt("/deflated/raw", websocket.CompressionNoContextTakeover)
		for _, kind := range []websocket.MessageType{websocket.MessageText, websocket.MessageBinary} {
			for _, size := range []int{0, 300, 60_000} {
				data := strings.Repeat("x", size)
				must(t, c.Write(c.ctx, kind, []byte(data)))
				gotKind, got, err := c.Read(c.ctx)
				if err != nil || string(got) != data || gotKind != kind {
					t.Fatalf("%d bytes came back as %d, %v, %v", size, len(got), gotKind, err)
				}
			}
		}
	})
}

// Sessions with and without compression receive messages of the same channel, and are
// counted under the same protocol.
func TestWebSocket_CompressesMessagesAloneAndOnlyWhereAgreed(t *testing.T) {
	eachEngine(t, func(t *testing.T, start starter) {
		n := start(t, gateway.Config{}).deflating()
		plain, deflated := n.dialUpgraded(), n.dialDeflated()
		for _, r := range []*rawPeer{plain, deflated} {
			r.send(masked(final|opText, `{"type":"subscribe","id":1,"channel":"chat"}`))
			r.expectFrame(opText)
		}
		payload := jsonOf(1024)
		n.publish("chat", payload)
		want := string(plain.expectFrame(opText))
		packed := deflated.expectFrame(rsv1 | opText)
		got, err := NewDeflate(0).inflate(nil, packed, -1)
		if err != nil || string(got) != want || !strings.Contains(want, payload) || len(packed) > len(want)/2 {
			t.Errorf("%d bytes became %d: %s, %v", len(want), len(packed), got, err)
		}
		deflated.send(masked(final|opText, `{"type":"history","id":2,"channel":"chat"}`))
		if got := deflated.expectFrame(opText); !strings.Contains(string(got), `"type":"history"`) || len(got) < len(payload) {
			t.Errorf("the history is %s", got)
		}
		n.publish("chat", `"short"`)
		if got := deflated.expectFrame(opText); !strings.Contains(string(got), `"short"`) {
			t.Errorf("a short message is %s", got)
		}
		if got := n.sessions(); got != 2 {
			t.Errorf("%d sessions", got)
		}
	})
}

// Recovered messages are compressed just like live ones.
func TestWebSocket_CompressesWhatIsRecovered(t *testing.T) {
	n := startNode(t, gateway.Config{}).deflating()
	first := n.publish("chat", `1`)
	n.publish("chat", jsonOf(1024))
	r := n.dialDeflated()
	r.send(masked(final|opText, fmt.Sprintf(`{"type":"subscribe","id":1,"channel":"chat","cursor":%q}`, first)))
	if got := r.expectFrame(opText); !strings.Contains(string(got), `"recovered":true`) {
		t.Fatalf("answer %s", got)
	}
	if got, err := NewDeflate(0).inflate(nil, r.expectFrame(rsv1|opText), -1); err != nil || !strings.Contains(string(got), jsonOf(1024)) {
		t.Errorf("%s, %v", got, err)
	}
}

func TestWebSocket_ReadsCompressedFragments(t *testing.T) {
	eachEngine(t, func(t *testing.T, start starter) {
		n := start(t, gateway.Config{}).deflating()
		r := n.dialDeflated()
		packed := string(deflated8(t, `{"type":"ping","id":7}`))
		for cut := range packed {
			r.send(masked(rsv1|opText, packed[:cut]) + masked(final|opPing, "between") + masked(0, "") + masked(final, packed[cut:]))
			if got := r.expectFrame(opPong); string(got) != "between" {
				t.Errorf("pong %q", got)
			}
			r.expectPong()
		}
		// Plain and compressed messages in one write.
		r.send(masked(final|rsv1|opText, packed) + masked(final|opText, `{"type":"ping","id":7}`) +
			masked(final|rsv1|opText, "\x00") + masked(final|opText, "") + masked(final|rsv1|opText, packed))
		for range 3 {
			r.expectPong()
		}
	})
}

func (r *rawPeer) expectPong() {
	r.t.Helper()
	for !strings.Contains(string(r.expectFrame(opText)), `"pong","id":7`) {
	}
}

func TestWebSocket_BreachesOfCompressionEndWithTheirCodes(t *testing.T) {
	eachEngine(t, func(t *testing.T, start starter) {
		n := start(t, gateway.Config{}).deflating()
		limit := int(n.webSocket.frameLimit())
		packed := string(deflated8(t, `{"type":"ping","id":7}`))
		for name, breach := range map[string]struct {
			bytes string
			code  int
		}{
			"mark on a continuation":     {masked(opText, "{") + masked(final|rsv1, "}"), 1002},
			"mark on a later fragment":   {masked(rsv1|opText, packed[:2]) + masked(final|rsv1, packed[2:]), 1002},
			"mark on a ping":             {masked(final|rsv1|opPing, ""), 1002},
			"mark on a close":            {masked(final|rsv1|opClose, ""), 1002},
			"another reserved bit":       {masked(final|rsv1|0x20|opText, packed), 1002},
			"message inside a message":   {masked(rsv1|opText, packed) + masked(final|rsv1|opText, packed), 1002},
			"not compressed":             {masked(final|rsv1|opText, "\xff\xff\xff"), 1007},
			"inflates to no UTF-8":       {masked(final|rsv1|opText, string(deflated8(t, "{\"type\":\"\xff\"}"))), 1007},
			"inflates to more than fits": {masked(final|rsv1|opText, string(deflated8(t, strings.Repeat(" ", limit+1)))), 1009},
			"bomb":                       {masked(final|rsv1|opText, string(deflated8(t, strings.Repeat(" ", 40<<20)))), 1009},
		} {
			t.Run(name, func(t *testing.T) {
				n := *n
				n.t = t
				r := n.dialDeflated()
				r.send(breach.bytes)
				r.expectCloseCode(breach.code)
				r.Conn.(*net.TCPConn).CloseWrite()
				r.expectEnd()
			})
		}
		r := n.dialDeflated()
		r.send(masked(final|rsv1|opText, string(deflated8(t, `{"type":"ping","id":7}`+strings.Repeat(" ", limit-22)))))
		r.expectPong()
	})
}

// A client that has not agreed to compression must not use it, even on a node where others
// do.
func TestWebSocket_ACompressedMessageWithoutAgreementIsRefused(t *testing.T) {
	eachEngine(t, func(t *testing.T, start starter) {
		n := start(t, gateway.Config{}).deflating()
		packed := string(deflated8(t, `{"type":"ping","id":7}`))
		for _, path := range []string{"/ws", "/deflated"} {
			r := n.dialRaw()
			r.send(strings.Replace(handshake, "/ws", path, 1))
			r.expectStatus()
			r.send(masked(final|rsv1|opText, packed))
			r.expectCloseCode(1002)
		}
	})
}

// An idle connection returns its reader to the pool, and another one, with or without
// compression, may get it.
func TestWebSocket_CompressedMessagesWakeUpConnectionsThatRest(t *testing.T) {
	n := startNode(t, gateway.Config{}).deflating()
	var peers []*rawPeer
	for i := range 50 {
		r := n.dialUpgraded
		if i%2 == 0 {
			r = n.dialDeflated
		}
		peers = append(peers, r())
	}
	packed := string(deflated8(t, `{"type":"ping","id":7}`))
	for range 3 {
		for i, r := range peers {
			if i%2 == 0 {
				r.send(masked(final|rsv1|opText, "\xf3\x02\x00\x00") + masked(final|rsv1|opText, packed)) // first, a stream that ends
			} else {
				r.send(masked(final|opText, `{"type":"ping","id":7}`))
			}
		}
		for _, r := range peers {
			r.expectPong()
		}
	}
}
