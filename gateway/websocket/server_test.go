package websocket

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"tidegate/gateway"
	"tidegate/gateway/native"

	"github.com/coder/websocket"
)

// client is a WebSocket client of the native protocol.
type client struct {
	*websocket.Conn
	t   testing.TB
	ctx context.Context
}

func (n *node) dial(options *websocket.DialOptions) *client {
	n.t.Helper()
	return n.dialPath("/ws", options)
}

func (n *node) dialPath(path string, options *websocket.DialOptions) *client {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	n.t.Cleanup(cancel)
	if options == nil {
		options = &websocket.DialOptions{}
	}
	options.HTTPClient = n.server.Client()
	scheme := "ws"
	if strings.HasPrefix(n.server.URL, "https") {
		scheme = "wss"
	}
	conn, _, err := websocket.Dial(ctx, n.address(scheme, path), options)
	must(n.t, err)
	conn.SetReadLimit(1 << 24)
	n.t.Cleanup(func() { conn.CloseNow() })
	return &client{conn, n.t, ctx}
}

func (c *client) say(format string, args ...any) {
	c.t.Helper()
	must(c.t, c.Write(c.ctx, websocket.MessageText, fmt.Appendf(nil, format, args...)))
}

// expect reads up to the next event of the given type, and returns it.
func (c *client) expect(kind string) map[string]any {
	c.t.Helper()
	for {
		_, data, err := c.Read(c.ctx)
		if err != nil {
			c.t.Fatalf("waiting for %s: %v", kind, err)
		}
		var event map[string]any
		if err := json.Unmarshal(data, &event); err != nil {
			c.t.Fatalf("%s: %v", data, err)
		}
		if event["type"] == kind {
			return event
		}
	}
}

// expectClose reads until the gateway closes the connection, and returns its close frame.
func (c *client) expectClose() websocket.CloseError {
	c.t.Helper()
	for {
		_, _, err := c.Read(c.ctx)
		var closed websocket.CloseError
		if errors.As(err, &closed) {
			return closed
		}
		if err != nil {
			c.t.Fatalf("waiting for a close frame: %v", err)
		}
	}
}

// dialRefused returns the answer to a handshake that must be refused.
func (n *node) dialRefused(path string, header http.Header) (status int, body string) {
	n.t.Helper()
	conn, response, err := websocket.Dial(context.Background(), n.address("ws", path), &websocket.DialOptions{HTTPHeader: header})
	if err == nil {
		conn.CloseNow()
		n.t.Fatalf("%s: the handshake was not refused", path)
	}
	if response == nil {
		n.t.Fatal(err)
	}
	text, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(text)
}

func TestWebSocket_CarriesMessagesBothWays(t *testing.T) {
	eachEngineAndTLS(t, func(t *testing.T, start starter) {
		n := start(t, gateway.Config{})
		c := n.dial(&websocket.DialOptions{Subprotocols: []string{native.Subprotocol}})
		if got := c.Subprotocol(); got != native.Subprotocol {
			t.Errorf("subprotocol %q, want %q", got, native.Subprotocol)
		}
		c.expect("welcome")
		c.say(`{"type":"subscribe","id":1,"channel":"chat:lobby"}`)
		c.expect("subscribed")
		for _, size := range []int{0, 1, 100, 1_000, 60_000} {
			data := strings.Repeat("x", size)
			c.say(`{"type":"publish","channel":"chat:lobby","data":%q}`, data)
			if got := c.expect("message")["data"]; got != data {
				t.Fatalf("a message of %d bytes came back different", size)
			}
		}
		if err := c.Ping(c.CloseRead(c.ctx)); err != nil {
			t.Errorf("a ping is not answered: %v", err)
		}
		if err := c.Close(websocket.StatusGoingAway, "leaving"); err != nil {
			t.Errorf("the close frame is not answered: %v", err)
		}
		n.awaitSessions(0)
	})
}

func (n *node) awaitSessions(want int) {
	n.t.Helper()
	n.awaitThat(fmt.Sprintf("there are %d sessions", want), func() bool { return n.sessions() == want })
}

func TestWebSocket_TakesTheTokenFromHeaderOrQuery(t *testing.T) {
	eachEngine(t, func(t *testing.T, start starter) {
		n := start(t, gateway.Config{})
		c := n.dial(&websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"bearer alice"}}})
		if got := c.expect("welcome")["user"]; got != "alice" {
			t.Errorf("with a header the user is %v", got)
		}
		conn, _, err := websocket.Dial(c.ctx, n.address("ws", "/ws?access_token=bob"), nil)
		must(t, err)
		defer conn.CloseNow()
		if got := (&client{conn, t, c.ctx}).expect("welcome")["user"]; got != "bob" {
			t.Errorf("with a query the user is %v", got)
		}
	})
}

func TestWebSocket_RefusesBeforeTheUpgrade(t *testing.T) {
	eachEngine(t, func(t *testing.T, start starter) {
		n := start(t, gateway.Config{})
		n.mux.Handle("/closed", n.webSocket.Handler(func(*http.Request) (gateway.Hello, error) {
			return gateway.Hello{Protocol: native.Protocol{}, Commands: []gateway.Command{gateway.Subscribe{Channel: "@alice"}}}, nil
		}))
		n.mux.Handle("/bad", n.webSocket.Handler(func(*http.Request) (gateway.Hello, error) {
			return gateway.Hello{}, badRequest("no such thing")
		}))
		bearer := func(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }
		for _, refusal := range []struct {
			path   string
			header http.Header
			status int
			code   string
		}{
			{"/ws", bearer("bad"), 401, `"unauthenticated"`},
			{"/ws", http.Header{"Origin": {"https://evil.example"}}, 403, `origins`},
			{"/closed", nil, 401, `"unauthenticated"`},
			{"/closed", bearer("bob"), 403, `"forbidden"`},
			{"/bad", nil, 400, `"bad_request"`},
		} {
			status, body := n.dialRefused(refusal.path, refusal.header)
			if status != refusal.status || !strings.Contains(body, refusal.code) {
				t.Errorf("%s with %v: %d %s; want %d with %s", refusal.path, refusal.header, status, body, refusal.status, refusal.code)
			}
		}
		n.awaitSessions(0)
	})
}

func TestWebSocket_ProtocolTellsRefusals(t *testing.T) {
	eachEngineAndTLS(t, func(t *testing.T, start starter) {
		n := start(t, gateway.Config{Limits: gateway.Limits{Sessions: 1}})
		n.mux.Handle("/app", n.webSocket.Handler(func(r *http.Request) (gateway.Hello, error) {
			hello := gateway.Hello{Protocol: say{}, TellRefusal: true}
			if r.URL.Query().Get("key") == "" {
				refused := gateway.Refused.With("no such app")
				refused.Code = 4001
				return hello, refused
			}
			return hello, nil
		}))
		n.dial(nil).expect("welcome")
		for _, refusal := range []struct {
			path   string
			header http.Header
			reason string
			code   websocket.StatusCode
		}{
			{"/app", nil, "refused", 4001},
			{"/app?key=k", nil, "overloaded", 1013},
			{"/app?key=k", http.Header{"Origin": {"https://evil.example"}}, "policy", 1008},
			{"/app?key=k", http.Header{"Authorization": {"Bearer bad"}}, "unauthenticated", 4001},
		} {
			c := n.dialPath(refusal.path, &websocket.DialOptions{HTTPHeader: refusal.header})
			if got := c.expect("goodbye"); got["reason"] != refusal.reason {
				t.Errorf("%s with %v: told %v, want %s", refusal.path, refusal.header, got, refusal.reason)
			}
			if got := c.expectClose(); got.Code != refusal.code {
				t.Errorf("%s with %v: closed with %v, want %d", refusal.path, refusal.header, got, refusal.code)
			}
		}
		n.awaitSessions(1)
	})
}

func TestWebSocket_TellsAPlainRequestWhatItIs(t *testing.T) {
	eachEngine(t, func(t *testing.T, start starter) {
		n := start(t, gateway.Config{})
		response, err := n.server.Client().Get(n.server.URL + "/ws")
		must(t, err)
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		if response.StatusCode != http.StatusUpgradeRequired || !bytes.Contains(body, []byte("WebSocket")) || response.Header.Get("Upgrade") != "websocket" {
			t.Errorf("%s, Upgrade %q: %s", response.Status, response.Header.Get("Upgrade"), body)
		}
		n.awaitSessions(0)
	})
}

func TestWebSocket_AFailedHandshakeLeavesNoSession(t *testing.T) {
	eachEngine(t, func(t *testing.T, start starter) {
		n := start(t, gateway.Config{})
		r := n.dialRaw()
		r.send("GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n")
		if got := r.expectStatus(); got != http.StatusBadRequest {
			t.Errorf("status %d, want 400", got)
		}
		n.awaitSessions(0)
	})
}

func TestWebSocket_TellsTheReasonOfTheEnd(t *testing.T) {
	eachEngineAndTLS(t, func(t *testing.T, start starter) {
		n := start(t, gateway.Config{})
		c := n.dial(nil)
		c.expect("welcome")
		c.say(`{"type":"auth","id":1,"token":"bad"}`)
		c.expect("error")
		if got := c.expectClose(); got.Code != 4001 || got.Reason != "the token is bad" {
			t.Errorf("closed with %v, want 4001 and the reason", got)
		}
		n.awaitSessions(0)
	})
}

func TestWebSocket_BreachesEndWithTheirCodes(t *testing.T) {
	eachEngine(t, func(t *testing.T, start starter) {
		n := start(t, gateway.Config{})
		for name, breach := range map[string]struct {
			kind websocket.MessageType
			data []byte
			code websocket.StatusCode
		}{
			"binary":    {websocket.MessageBinary, []byte("{}"), websocket.StatusUnsupportedData},
			"not UTF-8": {websocket.MessageText, []byte("{\"type\":\"\xff\"}"), websocket.StatusInvalidFramePayloadData},
			"too large": {websocket.MessageText, make([]byte, 200<<10), websocket.StatusMessageTooBig},
		} {
			t.Run(name, func(t *testing.T) {
				c := n.dial(nil)
				c.expect("welcome")
				must(t, c.Write(c.ctx, breach.kind, breach.data))
				if got := c.expectClose(); got.Code != breach.code {
					t.Errorf("closed with %v, want code %d", got, breach.code)
				}
			})
		}
		n.awaitSessions(0)
	})
}

func TestWebSocket_ShutdownClosesWithGoingAway(t *testing.T) {
	eachEngine(t, func(t *testing.T, start starter) {
		n := start(t, gateway.Config{})
		c := n.dial(nil)
		c.expect("welcome")
		go n.stop()
		if got := c.expectClose(); got.Code != websocket.StatusGoingAway {
			t.Errorf("closed with %v, want 1001", got)
		}
	})
}
