package main

import (
	"bufio"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestHostile_NothingEndsANodeOrStays sends almost valid requests and frames to a node for
// HOSTILE_TIME (2 s if not set). Afterwards the node must be well, without a recovered
// panic and without a session. The test logs its seed; HOSTILE_SEED repeats a run.
func TestHostile_NothingEndsANodeOrStays(t *testing.T) {
	t.Parallel()
	lasts, seed := 2*time.Second, rand.Uint64()
	if given := os.Getenv("HOSTILE_TIME"); given != "" {
		d, err := time.ParseDuration(given)
		must(t, err)
		lasts = d
	}
	if given := os.Getenv("HOSTILE_SEED"); given != "" {
		n, err := strconv.ParseUint(given, 10, 64)
		must(t, err)
		seed = n
	}
	t.Logf("HOSTILE_SEED=%d", seed)
	p := startReady(t, nil, "--config="+write(t, "hostile.yaml", pusherApp), "--log-level=info", "--limits-commands-per-second=0")
	address := strings.TrimPrefix(p.public(""), "http://")
	var clients sync.WaitGroup
	end := time.Now().Add(lasts)
	for worker := range uint64(8) {
		clients.Go(func() {
			h := hostile{rand.New(rand.NewPCG(seed, worker))}
			for time.Now().Before(end) && h.visit(address) {
				if h.IntN(16) == 0 {
					h.expectRefusal(t, address)
				}
			}
		})
	}
	clients.Wait()
	if status, _ := get(t, p.internal("/healthz")); status != http.StatusOK {
		t.Fatalf("the node is not well: %d", status)
	}
	if panics := p.metric("tidegate_panics_total"); panics != 0 {
		t.Errorf("%v panics:\n%.4000s", panics, p.said())
	}
	p.awaitNoSession()
}

// metric returns the sum of a metric's series.
func (p *process) metric(name string) (sum float64) {
	p.t.Helper()
	_, text := get(p.t, p.internal("/metrics"))
	return metricIn(p.t, text, name)
}

// metricIn returns the sum of a metric's series in the text of /metrics.
func metricIn(t *testing.T, text, name string) (sum float64) {
	t.Helper()
	for line := range strings.Lines(text) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if bare, _, _ := strings.Cut(series, "{"); bare != name {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		must(t, err)
		sum += n
	}
	return sum
}

// awaitNoSession blocks until no session is left and nothing is held for any. If a client
// has sent bytes after its request, the node notices that it is gone only when a write of a
// heartbeat fails or a poll ends. That is at most the second heartbeat, after 50 s, because
// the kernel accepts the first.
func (p *process) awaitNoSession() {
	p.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(90 * time.Second); p.metric("tidegate_sessions")+p.metric("tidegate_inbound_bytes") > 0; <-tick.C {
		if time.Now().After(deadline) {
			_, stacks := get(p.t, p.internal("/debug/pprof/goroutine?debug=1"))
			p.t.Fatalf("%v sessions stay whose clients have left, and %v bytes are held:\n%.20000s", p.metric("tidegate_sessions"), p.metric("tidegate_inbound_bytes"), stacks)
		}
	}
}

// hostile is a client whose requests are almost valid.
type hostile struct{ *rand.Rand }

// visit uses one connection and reports whether the node accepted it.
func (h hostile) visit(address string) bool {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return false
	}
	defer c.Close()
	if h.IntN(4) > 0 {
		_ = c.(*net.TCPConn).SetLinger(0) // otherwise the client runs out of ports
	}
	_ = c.SetDeadline(time.Now().Add(time.Duration(1+h.IntN(15)) * time.Millisecond)) // cannot fail on a real connection
	said := h.request()
	if h.IntN(2) == 0 {
		said = h.conversation()
	}
	_, _ = io.WriteString(c, said) // the node may have closed the connection
	if h.IntN(4) > 0 {
		_, _ = io.Copy(io.Discard, c)
	}
	return true
}

// expectRefusal requests a stream in a way that must be refused, because nobody would read
// the body or notice that the client is gone.
func (h hostile) expectRefusal(t *testing.T, address string) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience)) // cannot fail on a real connection
	method, body := h.pick([]string{"GET", "HEAD"}), h.pick([]string{"Content-Length: 2\r\n\r\n", "Content-Length: 2\r\n\r\n{}", "Transfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"})
	if method == "HEAD" && h.IntN(2) == 0 {
		body = "\r\n"
	}
	said := method + " " + h.pick([]string{"/events?channel=c", "/events?channel={{name}}", "/ws", "/raw/c", "/connection/uni_sse", "/connection/websocket", "/app/key"}) +
		" HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" + body
	_, _ = io.WriteString(c, said)                   // the node may have closed the connection
	status, _ := bufio.NewReader(c).ReadString('\n') // "": the node has hung up
	if strings.HasPrefix(status, "HTTP/1.1 1") || strings.HasPrefix(status, "HTTP/1.1 2") {
		t.Errorf("answered %q:\n%s", status, said)
	}
}

// pick returns one of the texts, with each {word} replaced.
func (h hostile) pick(texts []string) string {
	return h.fill(texts[h.IntN(len(texts))])
}

func (h hostile) fill(text string) string {
	before, rest, found := strings.Cut(text, "{{")
	if !found {
		return text
	}
	word, after, _ := strings.Cut(rest, "}}")
	return before + h.word(word) + h.fill(after)
}

func (h hostile) word(kind string) string {
	if h.IntN(12) == 0 { // the wrong kind
		kinds := []string{"name", "cursor", "wait", "number", "string", "json"}
		kind = kinds[h.IntN(len(kinds))]
	}
	switch kind {
	case "name":
		if h.IntN(3) == 0 {
			return h.long("x", 1, 64, 127, 128, 248, 253, 254, 255, 256, 257, 4096)
		}
		return h.pick([]string{"c", "c", "c", "a:b", "@alice", "%20", "%", "%00", "*", "a;b", "..", "%2e%2e", ""})
	case "cursor":
		return h.pick([]string{"", "-", "k3x9:41", "k3x9:18446744073709551615", "k3x9:18446744073709551616", ":", "~", "AAAAAAAA~-", "AAAAAAAA~k3x9:1,b~", "x%", h.long("k", 31, 32, 33, 255, 256) + ":1"})
	case "wait":
		return h.pick([]string{"0s", "1ms", "20s", "-1s", "61s", "1", "", "9223372036854775807ns"})
	case "number":
		return h.pick([]string{"0", "1", "2", "-1", "1e3", "126", "65536", "2147483648", "9223372036854775807", "99999999999999999999"})
	case "string":
		return `"` + h.escapes() + `"`
	case "json":
		return h.pick([]string{"1", "null", `{"a":[{{string}},{{number}}]}`, `{{string}}`, strings.Repeat("[", 1+h.IntN(200)), "[1", "tru", "{}", h.long("[", 99, 100, 101, 9999, 10000)})
	}
	return ""
}

// long returns a text with one of the lengths.
func (h hostile) long(of string, lengths ...int) string {
	return strings.Repeat(of, lengths[h.IntN(len(lengths))])
}

func (h hostile) escapes() string {
	var b strings.Builder
	for range h.IntN(6) {
		b.WriteString(h.pick([]string{"a", "c", `\n`, `\"`, `\\`, `\/`, `\u0000`, `\u00e9`, `\ud83c\udf0a`, `\ud83c`, `\udf0a`, `\ud83c\u0041`,
			`\u12`, `\x`, `\v`, `\a`, `\'`, `\`, "\n", "\x00", "\x7f", "\xff", "é", "🌊"}))
	}
	return b.String()
}

// request returns one or more requests.
func (h hostile) request() string {
	targets := []string{
		"/events?channel={{name}}", "/events?channel={{name}}&channel={{name}}&cursor={{cursor}}", "/events?channel={{name}}&recent={{number}}&envelope=true",
		"/poll?channel={{name}}", "/poll?channel={{name}}&cursor={{cursor}}&wait={{wait}}", "/poll?channel={{name}}&cursor={{cursor}}&channel={{name}}&cursor={{cursor}}",
		"/connection/sse?cf_connect={{json}}", "/connection/uni_sse?cf_connect={{json}}", "/connection/http_stream", "/connection/uni_http_stream", "/emulation",
		"/ws", "/raw/{{name}}", "/raw/{{name}}?cursor={{cursor}}&gap=ignore", "/", "/healthz", "/readyz", "/tidegate.js", "/{{name}}",
		"/api/channels/{{name}}/messages", "/api/channels/{{name}}/messages?cursor={{cursor}}&limit={{number}}", "/api/channels/{{name}}/presence",
		"/api/messages", "/api/channels?match={{name}}", "/api/users/{{name}}/sessions", "/api/users/{{name}}/channels/{{name}}", "/api/nodes", "/api/load?most={{number}}", "/api/openapi.yaml",
		"/api/explain", "/api/channels/{{name}}/traces", "/api/bans", "/api/bans/{{name}}", "/api/revocations", "/api/publish", "/api/batch", "/dev", "/dev/token", "/dev/rules",
		"/app/key?protocol={{number}}", "/apps/1/events?auth_key=key&auth_timestamp={{number}}&auth_signature={{name}}", "/apps/{{name}}/channels/{{name}}/users",
		"/pusher/app/key/{{number}}/{{name}}/xhr_streaming?protocol=7", "/pusher/app/key/{{number}}/{{name}}/xhr_send?protocol=7", "/pusher/app/{{name}}/{{number}}/x/xhr_send",
	}
	headers := []string{
		"Content-Length: {{number}}", "Transfer-Encoding: chunked", "Expect: 100-continue", "Connection: close", "Connection: Upgrade", "Upgrade: websocket",
		"Sec-WebSocket-Version: {{number}}", "Sec-WebSocket-Key: {{name}}", "Accept: text/event-stream", "Last-Event-ID: {{cursor}}", "Authorization: Bearer {{name}}",
		"Authorization: {{name}}", "Origin: http://localhost", "Origin: {{name}}", "Content-Type: {{name}}", "Content-Encoding: gzip", "Idempotency-Key: {{name}}",
		"Access-Control-Request-Method: GET", "X-Forwarded-For: {{name}}", "Cookie: {{string}}", "Host: localhost", "Range: bytes={{number}}-{{number}}",
	}
	methods := []string{"GET", "GET", "GET", "GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "{{name}}"}
	said := ""
	for range 1 + h.IntN(2) {
		said += h.pick(methods) + " " + h.pick(targets) + " HTTP/1.1\r\nHost: localhost\r\n"
		for range h.IntN(4) {
			said += h.pick(headers) + "\r\n"
		}
		said += "\r\n" + h.pick([]string{"", "", "{{json}}", `[{"channels":[{{string}}],"data":{{json}}}]`, `{"id":1,"connect":{"token":{{string}}}}`, `{"session":{{string}},"node":{{string}},"data":{{string}}}`,
			`[{{string}},"{\"event\":\"pusher:ping\"}"]`, `{"channel":{{string}},"user":{{string}},"data":{{json}}}`, "{{number}}\r\n{{json}}\r\n0\r\n\r\n"})
	}
	return h.spoil(said)
}

// conversation returns the handshake of a WebSocket client and some frames.
func (h hostile) conversation() string {
	target := h.pick([]string{"/ws", "/ws", "/ws", "/raw/{{name}}", "/connection/websocket", "/connection/uni_websocket", "/app/key?protocol=7"})
	said := "GET " + target + " HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
	for range h.IntN(8) {
		said += h.frame(h.spoil(h.pick([]string{
			`{"type":"subscribe","id":{{number}},"channel":{{string}},"cursor":"{{cursor}}","recent":{{number}}}`,
			`{"type":"subscribe","id":{{number}},"channel":"{{name}}"}`,
			`{"type":"unsubscribe","id":{{number}},"channel":"{{name}}"}`,
			`{"type":"publish","id":{{number}},"channel":"{{name}}","data":{{json}},"key":{{string}}}`,
			`{"type":"publish","channel":"{{name}}","text":{{string}},"event":{{string}}}`,
			`{"type":"publish","channel":"{{name}}","binary":"{{name}}"}`,
			`{"type":"presence","id":{{number}},"channel":"{{name}}"}`,
			`{"type":"history","id":{{number}},"channel":"{{name}}","limit":{{number}},"cursor":"{{cursor}}"}`,
			`{"id":{{number}},"connect":{"token":{{string}}}}`, `{"id":{{number}},"subscribe":{"channel":"{{name}}","recover":true,"epoch":{{string}},"offset":{{number}}}}`,
			`{"id":{{number}},"publish":{"channel":"{{name}}","data":{{json}}}}`, `{"id":{{number}},"history":{"channel":"{{name}}","limit":{{number}}}}`,
			`{"event":"pusher:subscribe","data":{"channel":"{{name}}","auth":{{string}},"channel_data":{{string}}}}`, `{"event":"pusher:unsubscribe","data":{"channel":"{{name}}"}}`,
			`{"event":"client-{{name}}","channel":"{{name}}","data":{{json}}}`, `{"event":"pusher:signin","data":{"auth":{{string}},"user_data":{{string}}}}`,
			`{"type":"auth","id":{{number}},"token":{{string}}}`, `{"type":"ping","id":{{number}}}`, `{"type":{{string}},{{string}}:{{json}}}`, `{{json}}`, ``,
		})))
	}
	return said
}

// frame returns a client frame (RFC 6455, section 5.2) with the mask 0, which is
// sometimes invalid.
func (h hostile) frame(payload string) string {
	first, masked := byte(0x81), byte(0x80)
	switch h.IntN(8) {
	case 0:
		first = byte(h.IntN(256))
	case 1: // control frames
		first = []byte{0x88, 0x89, 0x8a}[h.IntN(3)]
	case 2: // fragments
		first = []byte{0x01, 0x00, 0x80}[h.IntN(3)]
	}
	if h.IntN(32) == 0 {
		masked = 0
	}
	n := len(payload)
	if h.IntN(32) == 0 {
		n = h.IntN(1 << 17) // the declared length is wrong
	}
	head := []byte{first, masked | byte(min(n, 126))}
	if n >= 126 {
		head = append(head, byte(n>>8), byte(n))
	}
	if n > 65535 || h.IntN(32) == 0 {
		head = []byte{first, masked | 127, 0, 0, 0, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
	}
	return string(append(head, 0, 0, 0, 0)) + payload
}

// spoil sometimes changes a byte or two.
func (h hostile) spoil(text string) string {
	if text == "" || h.IntN(3) > 0 {
		return text
	}
	at := h.IntN(len(text))
	switch h.IntN(4) {
	case 0:
		return text[:at]
	case 1:
		return text[:at] + string(rune(h.IntN(256))) + text[at:]
	case 2:
		return text[:at] + text[at+1:]
	default:
		return text[:at] + string([]byte{byte(h.IntN(256))}) + text[at+1:]
	}
}
