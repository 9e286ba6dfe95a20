package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// benchClient is a WebSocket (RFC 6455) that costs little, so that thousands of
// them leave the machine to the gateway: it reads frames where they arrive and
// parses no JSON that it need not. read is called by one goroutine at a time,
// write by any.
type benchClient struct {
	conn net.Conn

	// Owned by the reading goroutine.
	inflaters  *benchInflaters // nil: compression was not offered
	inflated   []byte          // the last message that was compressed
	buffer     []byte
	begin, end int // what of buffer has been read from conn and not yet returned

	writing sync.Mutex
	out     []byte
}

// benchBuffer holds a few messages; a longer one makes it grow.
const benchBuffer = 2 << 10

const (
	benchText  = 0x1
	benchClose = 0x8
	benchPing  = 0x9
	benchPong  = 0xa
)

// dialBench connects to a gateway and reads its welcome. With inflaters the gateway
// must agree to compress.
func dialBench(ctx context.Context, target *url.URL, token string, inflaters *benchInflaters) (*benchClient, error) {
	conn, err := dialHost(ctx, target)
	if err != nil {
		return nil, err
	}
	c := &benchClient{conn: conn, inflaters: inflaters, buffer: make([]byte, benchBuffer)}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // of an open connection
	}
	if err := c.shakeHands(target, token); err != nil {
		conn.Close()
		return nil, err
	}
	if _, err := c.reply(); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

func dialHost(ctx context.Context, target *url.URL) (net.Conn, error) {
	port := target.Port()
	secure := target.Scheme == "wss" || target.Scheme == "https"
	switch {
	case port == "" && secure:
		port = "443"
	case port == "":
		port = "80"
	}
	address := net.JoinHostPort(target.Hostname(), port)
	if secure {
		return (&tls.Dialer{}).DialContext(ctx, "tcp", address)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", address)
}

// shakeHands sends the key of RFC 6455's example: the answer to it proves
// nothing that a benchmark needs.
func (c *benchClient) shakeHands(target *url.URL, token string) error {
	request := "GET " + target.RequestURI() + " HTTP/1.1\r\nHost: " + target.Host +
		"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13" +
		"\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	if token != "" {
		request += "Authorization: Bearer " + token + "\r\n"
	}
	if c.inflaters != nil {
		request += "Sec-WebSocket-Extensions: " + benchDeflate + "\r\n"
	}
	if _, err := io.WriteString(c.conn, request+"\r\n"); err != nil {
		return err
	}
	r := bufio.NewReader(c.conn)
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		return refusalOf(answer)
	}
	if c.inflaters != nil && answer.Header.Get("Sec-WebSocket-Extensions") == "" {
		return errors.New("the gateway does not compress: run it with compression.enabled")
	}
	early, _ := r.Peek(r.Buffered())
	if len(early) > len(c.buffer) {
		c.buffer = make([]byte, len(early))
	}
	c.end = copy(c.buffer, early)
	return nil
}

// benchRefusal is what the gateway answered instead of what was asked for.
type benchRefusal struct {
	Code, Message string
}

func (r *benchRefusal) Error() string {
	text := "the gateway refuses: " + r.Code
	if r.Message != "" {
		text += ": " + r.Message
	}
	if hint := hintOf(r.Code); hint != "" {
		text += " (" + hint + ")"
	}
	return text
}

// hintOf says what to change in the gateway for a benchmark.
func hintOf(code string) string {
	switch code {
	case "rate_limited":
		return "run the gateway with limits.commands_per_second: 0 and limits.connects_per_second: 0"
	case "limit_exceeded":
		return "look at limits.sessions, limits.sessions_per_user, limits.sessions_per_ip and limits.channels_per_session of the gateway"
	case "unauthenticated":
		return "give --token or --secret-file, or the gateway a rule for channels that begin with " + benchPrefix
	case "forbidden":
		return "the gateway needs a rule for channels that begin with " + benchPrefix
	}
	return ""
}

// refusalOf reads an answer that is no upgrade.
func refusalOf(answer *http.Response) error {
	defer answer.Body.Close()
	var body struct{ Error benchRefusal }
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
	if json.Unmarshal(text, &body) == nil && body.Error.Code != "" {
		return &body.Error
	}
	return fmt.Errorf("the server answers %s to a WebSocket handshake", answer.Status)
}

// reply returns the next frame that is no message of a channel.
func (c *benchClient) reply() ([]byte, error) {
	for {
		frame, err := c.read()
		if err != nil {
			return nil, err
		}
		if isMessage(frame) {
			continue
		}
		return frame, refusalIn(frame)
	}
}

// refusalIn returns a *benchRefusal if the frame is an error, else nil.
func refusalIn(frame []byte) error {
	var said struct{ Type, Code, Message string }
	if err := json.Unmarshal(frame, &said); err != nil {
		return fmt.Errorf("the server does not speak the native protocol: it says %.80q", frame)
	}
	if said.Type == "error" {
		return &benchRefusal{Code: said.Code, Message: said.Message}
	}
	return nil
}

// benchClosed is a close frame from the gateway.
type benchClosed struct {
	code   uint16
	reason string
}

func (e *benchClosed) Error() string { return fmt.Sprintf("closed with %d %s", e.code, e.reason) }

// read returns the next text frame, valid until the next read. It answers pings.
func (c *benchClient) read() ([]byte, error) {
	for {
		opcode, payload, err := c.frame()
		if err != nil {
			return nil, err
		}
		if opcode&benchPacked != 0 {
			return c.inflate(payload)
		}
		switch opcode {
		case benchPing:
			if err := c.send(benchPong, payload); err != nil {
				return nil, err
			}
		case benchClose:
			closed := &benchClosed{code: 1005}
			if len(payload) >= 2 {
				closed.code, closed.reason = binary.BigEndian.Uint16(payload), string(payload[2:])
			}
			return nil, closed
		case benchPong:
		default:
			return payload, nil
		}
	}
}

// whole reports whether the next frame is here already.
func (c *benchClient) whole() bool {
	have := c.end - c.begin
	if have < 2 {
		return false
	}
	header, size, ok := c.head(have)
	return ok && have >= header+size
}

// frame reads one frame of a server, which does not fragment or mask (RFC 6455,
// section 5.2). The opcode may have benchPacked beside it.
func (c *benchClient) frame() (opcode byte, payload []byte, err error) {
	if err := c.fill(2); err != nil {
		return 0, nil, err
	}
	header, size, ok := c.head(2)
	if !ok {
		if err := c.fill(header); err != nil {
			return 0, nil, err
		}
		_, size, _ = c.head(header)
	}
	if size < 0 || size > benchMaxFrame {
		return 0, nil, errors.New("the server sent a frame that is too long for a benchmark")
	}
	if err := c.fill(header + size); err != nil {
		return 0, nil, err
	}
	opcode = c.buffer[c.begin] & (benchPacked | 0x0f)
	payload = c.buffer[c.begin+header : c.begin+header+size]
	c.begin += header + size
	return opcode, payload, nil
}

// head returns the lengths of the next frame's header and payload, of which so
// many bytes are here, at least 2; ok is false if the header is not.
func (c *benchClient) head(have int) (header, size int, ok bool) {
	from := c.buffer[c.begin:]
	switch size = int(from[1]); size {
	case 126:
		if have < 4 {
			return 4, 0, false
		}
		return 4, int(binary.BigEndian.Uint16(from[2:])), true
	case 127:
		if have < 10 {
			return 10, 0, false
		}
		return 10, int(binary.BigEndian.Uint64(from[2:])), true
	}
	return 2, size, true
}

const benchMaxFrame = 1 << 20

// fill reads until n bytes wait.
func (c *benchClient) fill(n int) error {
	if c.end-c.begin >= n {
		return nil
	}
	if c.begin > 0 {
		c.end = copy(c.buffer, c.buffer[c.begin:c.end])
		c.begin = 0
	}
	if len(c.buffer) < n {
		c.buffer = append(c.buffer, make([]byte, n-len(c.buffer))...)
	}
	for c.end < n {
		got, err := c.conn.Read(c.buffer[c.end:])
		c.end += got
		if err != nil && c.end < n {
			return err
		}
	}
	return nil
}

func (c *benchClient) write(text []byte) error { return c.send(benchText, text) }

func (c *benchClient) send(opcode byte, payload []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.out = appendMasked(c.out, opcode, payload)
	return c.writeOut()
}

// add queues a text, which it copies, for flush.
func (c *benchClient) add(text []byte) {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.out = appendMasked(c.out, benchText, text)
}

// flush writes what was added, in one call.
func (c *benchClient) flush() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.writeOut()
}

func (c *benchClient) writeOut() error {
	if len(c.out) == 0 {
		return nil
	}
	_, err := c.conn.Write(c.out)
	c.out = c.out[:0]
	return err
}

// appendMasked appends a frame that is masked by the key 0, which changes nothing
// and costs nothing here; the gateway's work is the same.
func appendMasked(to []byte, opcode byte, payload []byte) []byte {
	const final, masked = 0x80, 0x80
	to = append(to, final|opcode)
	if n := len(payload); n <= 125 {
		to = append(to, masked|byte(n))
	} else if n <= 1<<16-1 {
		to = binary.BigEndian.AppendUint16(append(to, masked|126), uint16(n))
	} else {
		to = binary.BigEndian.AppendUint64(append(to, masked|127), uint64(n))
	}
	return append(append(to, 0, 0, 0, 0), payload...)
}

// endless lets the connection be used without a deadline.
func (c *benchClient) endless() { _ = c.conn.SetDeadline(time.Time{}) }

func (c *benchClient) close() { c.conn.Close() }
