package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"tidegate/broker/brokertest"
	"tidegate/gateway"

	"github.com/coder/websocket"
)

// connect opens a WebSocket.
func connect(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, _, err := websocket.Dial(ctx, url, nil)
	must(t, err)
	t.Cleanup(func() { _ = c.CloseNow() }) // it may be closed
	return c
}

// refused tries to open a WebSocket and returns the status of the refusal.
func refused(t *testing.T, url string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, response, err := websocket.Dial(ctx, url, nil)
	if err == nil {
		_ = c.CloseNow() // it should not have been opened
		t.Fatalf("%s was let in", url)
	}
	if response == nil {
		t.Fatal(err)
	}
	return response.StatusCode
}

func hear(t *testing.T, c *websocket.Conn) (websocket.MessageType, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	kind, data, err := c.Read(ctx)
	must(t, err)
	return kind, string(data)
}

func say(t *testing.T, c *websocket.Conn, kind websocket.MessageType, text string) {
	t.Helper()
	must(t, c.Write(t.Context(), kind, []byte(text)))
}

// hearType reads until a frame of the native protocol has the given type.
func hearType(t *testing.T, c *websocket.Conn, want string) string {
	t.Helper()
	for {
		_, text := hear(t, c)
		var frame struct{ Type string }
		if err := json.Unmarshal([]byte(text), &frame); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		if frame.Type == want {
			return text
		}
	}
}

func TestRoutes_EveryClientMeetsOnAChannel(t *testing.T) {
	t.Parallel()
	p := startReady(t, nil)
	ws := strings.Replace(p.public(""), "http", "ws", 1)
	native, raw := connect(t, ws+"/ws"), connect(t, ws+"/raw/chat:lobby")
	say(t, native, websocket.MessageText, `{"type":"subscribe","id":1,"channel":"chat:lobby"}`)
	hearType(t, native, "subscribed")

	say(t, native, websocket.MessageText, `{"type":"publish","channel":"chat:lobby","data":{"text":"from native"}}`)
	if _, got := hear(t, raw); got != `{"text":"from native"}` {
		t.Errorf("raw heard %q", got)
	}
	if got := hearType(t, native, "message"); !strings.Contains(got, `"data":{"text":"from native"}`) {
		t.Errorf("native heard %s", got)
	}
	say(t, raw, websocket.MessageBinary, "\x00\x01")
	if kind, got := hear(t, raw); kind != websocket.MessageBinary || got != "\x00\x01" {
		t.Errorf("raw heard %v %q, want its own binary frame", kind, got)
	}
	if got := hearType(t, native, "message"); !strings.Contains(got, `"binary":"AAE="`) {
		t.Errorf("native heard %s", got)
	}
	for _, base := range []string{p.public(""), p.internal("")} {
		publish(t, base+"/api/channels/chat:lobby/messages", `{"text":"from http"}`)
		if _, got := hear(t, raw); got != `{"text":"from http"}` {
			t.Errorf("raw heard %q", got)
		}
	}
}

func publish(t *testing.T, url, body string) {
	t.Helper()
	response, err := http.Post(url, "application/json", strings.NewReader(body))
	must(t, err)
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("POST %s: %s %s %v", url, response.Status, answer, err)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestRoutes_TheClockTicks(t *testing.T) {
	t.Parallel()
	p := startReady(t, nil)
	clock := connect(t, strings.Replace(p.public("/raw/clock"), "http", "ws", 1))
	for range 2 {
		_, text := hear(t, clock)
		var tick struct{ Time string }
		if err := json.Unmarshal([]byte(text), &tick); err != nil || tick.Time == "" {
			t.Errorf("heard %q, want {\"time\": …}", text)
		}
	}
}

func TestRoutes_TheConsoleIsTheFrontPage(t *testing.T) {
	t.Parallel()
	p := startReady(t, nil)
	for path, want := range map[string]string{"/": "<html", "/tidegate.js": "export "} {
		if status, body := get(t, p.public(path)); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("GET %s: %d, want 200 with %q", path, status, want)
		}
	}
	if status, _ := get(t, p.public("/nowhere")); status != http.StatusNotFound {
		t.Errorf("GET /nowhere: %d, want 404", status)
	}
}

// A page of another site must not use the gateway on this machine.
func TestRoutes_OriginsAreChecked(t *testing.T) {
	t.Parallel()
	p := startReady(t, []string{"TIDEGATE_ORIGINS=https://app.example"})
	for origin, want := range map[string]int{
		"":                                     http.StatusSwitchingProtocols,
		strings.TrimSuffix(p.public("/"), "/"): http.StatusSwitchingProtocols,
		"https://app.example":                  http.StatusSwitchingProtocols,
		"http://localhost:3000":                http.StatusSwitchingProtocols,
		"https://evil.example":                 http.StatusForbidden,
		"http://localhost.evil.example":        http.StatusForbidden,
		"null":                                 http.StatusForbidden,
	} {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		c, response, err := websocket.Dial(ctx, strings.Replace(p.public("/ws"), "http", "ws", 1), &websocket.DialOptions{HTTPHeader: header})
		cancel()
		if err == nil {
			_ = c.CloseNow() // only the handshake matters
		}
		if response == nil || response.StatusCode != want {
			t.Errorf("origin %q: %v %v, want %d", origin, response, err, want)
		}
	}
}

func TestServe_NoLogShowsATokenOfAURL(t *testing.T) {
	t.Parallel()
	p := startReady(t, nil)
	ws := strings.Replace(p.public(""), "http", "ws", 1)
	const token = "hunter2hunter2hunter2"
	for _, path := range []string{"/ws", "/raw/chat:lobby"} {
		if status := refused(t, ws+path+"?access_token="+token); status != http.StatusUnauthorized {
			t.Errorf("%s with a bad token: %d, want 401", path, status)
		}
	}
	get(t, p.public("/api/channels/chat:lobby/messages?access_token="+token))
	get(t, p.public("/nowhere?access_token="+token))
	p.signal(syscall.SIGTERM)
	p.wait()
	if strings.Contains(p.said(), token) {
		t.Errorf("the log shows the token:\n%s", p.said())
	}
}

func TestServe_DrainAnswersHealthAndTakesNoSession(t *testing.T) {
	t.Parallel()
	p := startReady(t, nil, "--drain-window=2s")
	ws := strings.Replace(p.public("/ws"), "http", "ws", 1)
	var peers []*websocket.Conn
	for range 3 {
		c := connect(t, ws)
		hearType(t, c, "welcome")
		peers = append(peers, c)
	}
	p.signal(syscall.SIGTERM)
	hearType(t, peers[0], "reconnect")
	if status, body := get(t, p.public("/readyz")); status != http.StatusServiceUnavailable || body != "not ready: draining\n" {
		t.Errorf("GET /readyz: %d %q, want 503 draining", status, body)
	}
	if status, _ := get(t, p.public("/healthz")); status != http.StatusOK {
		t.Errorf("GET /healthz: %d, want 200", status)
	}
	if status := refused(t, ws); status != http.StatusServiceUnavailable {
		t.Errorf("a new session: %d, want 503", status)
	}
	for _, c := range peers {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		var err error
		for err == nil {
			_, _, err = c.Read(ctx)
		}
		cancel()
		if websocket.CloseStatus(err) != websocket.StatusGoingAway {
			t.Errorf("a session ended with %v, want 1001", err)
		}
	}
	if code := p.wait(); code != 0 {
		t.Errorf("exit code %d, want 0:\n%s", code, p.said())
	}
}

func TestServe_ASecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	p := startReady(t, nil, "--drain-window=1h")
	ws := strings.Replace(p.public("/ws"), "http", "ws", 1)
	first, second := connect(t, ws), connect(t, ws)
	hearType(t, first, "welcome")
	hearType(t, second, "welcome")
	p.signal(syscall.SIGTERM)
	p.waitFor("draining")
	tick := time.NewTicker(200 * time.Millisecond) // a signal right after the first is ignored
	defer tick.Stop()
	for over := false; !over; {
		select {
		case <-p.done:
			over = true
		case <-tick.C:
			_ = p.command.Process.Signal(syscall.SIGTERM) // it may have ended already
		}
	}
	if code := p.wait(); code != 128+int(syscall.SIGTERM) {
		t.Errorf("exit code %d, want %d:\n%s", code, 128+int(syscall.SIGTERM), p.said())
	}
}

// timeout(1) signals its child twice: directly, and with its process group.
func TestServe_TheSameSignalTwiceIsOne(t *testing.T) {
	t.Parallel()
	p := startReady(t, nil)
	p.signal(syscall.SIGTERM)
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		t.Errorf("exit code %d, want 0:\n%s", code, p.said())
	}
}

func TestServe_AStopIsNoError(t *testing.T) {
	t.Parallel()
	p := startReady(t, nil, "--redis-url", "redis://"+brokertest.StartRedis(t).Addr)
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 || strings.Contains(p.said(), `"level":"ERROR"`) {
		t.Errorf("exit code %d:\n%s", code, p.said())
	}
}

func TestReload_RulesAndKeysAreThoseOfTheFile(t *testing.T) {
	t.Parallel()
	rules := func(publish, key string) string {
		return fmt.Sprintf("channels: [{match: '*', subscribe: anyone, publish: %s}]\nauth: {api_keys: [{name: shop, key: %s}]}\n", publish, key)
	}
	const oldKey, newKey = "0123456789abcdef", "fedcba9876543210"
	file := t.TempDir() + "/tidegate.yaml"
	put(t, file, rules("anyone", oldKey))
	p := startReady(t, nil, "--config", file)
	url := p.public("/api/channels/news/messages")
	expect := func(key string, want int) {
		t.Helper()
		if got := post(t, url, key); got != want {
			t.Errorf("publish with the key %q: %d, want %d", key, got, want)
		}
	}
	expect("", http.StatusOK)
	expect(oldKey, http.StatusOK)
	expect(newKey, http.StatusUnauthorized)

	put(t, file, rules("everyone", newKey))
	p.signal(syscall.SIGHUP)
	p.waitFor("rules and keys stay as they are")
	expect("", http.StatusOK)
	expect(oldKey, http.StatusOK)

	put(t, file, rules("nobody", newKey))
	p.signal(syscall.SIGHUP)
	p.waitFor("reloaded rules and keys")
	expect("", http.StatusUnauthorized)
	expect(oldKey, http.StatusUnauthorized)
	expect(newKey, http.StatusOK)
}

// post publishes with a key and returns the status.
func post(t *testing.T, url, key string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader([]byte("1")))
	must(t, err)
	request.Close = true
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	response, err := http.DefaultClient.Do(request)
	must(t, err)
	defer response.Body.Close()
	return response.StatusCode
}

func TestGreetRaw_AsksForWhatTheAddressSays(t *testing.T) {
	for query, want := range map[string]gateway.Subscribe{
		"":                     {},
		"?recent=20":           {Recent: 20},
		"?recent=2&cursor=e:5": {Recent: 2, Cursor: "e:5"},
	} {
		hello, err := greetRaw(httptest.NewRequest(http.MethodGet, "/raw/chat"+query, nil))
		if err != nil || len(hello.Commands) != 1 || hello.Commands[0] != want {
			t.Errorf("%q: %v, %v", query, hello.Commands, err)
		}
	}
	if _, err := greetRaw(httptest.NewRequest(http.MethodGet, "/raw/chat?recent=many", nil)); gateway.ErrorOf(err).Code != gateway.BadRequest {
		t.Errorf("an odd number: %v", err)
	}
}
