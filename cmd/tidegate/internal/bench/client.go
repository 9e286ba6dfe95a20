package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// Client is a WebSocket client (RFC 6455) that uses little CPU, so that thousands of them
// leave the machine to the gateway: it returns frames without copying them and avoids
// parsing JSON. Read must be called by one goroutine at a time; Write and Close are safe for
// concurrent use.
type Client struct {
	conn    net.Conn
	adapter *adapter

	// Owned by the reading goroutine.
	inflaters  *inflaters // nil if compression was not offered
	inflated   []byte     // the last compressed message, decompressed
	buffer     []byte
	begin, end int // buffer[begin:end] was read from conn and not yet returned

	writing sync.Mutex
	out     []byte
}

// bufferSize is the initial size of the read buffer, in bytes: room for a few messages. A
// longer message makes the buffer grow.
const bufferSize = 2 << 10

// Open performs the WebSocket handshake with a gateway and takes ownership of conn, which it
// closes on failure. token may be empty. The first frame to read is the welcome.
func Open(conn net.Conn, target *url.URL, token string) (*Client, error) {
	return open(conn, native, target, token, nil)
}

// open is like Open for the server of any adapter. If inflaters is not nil, it offers
// compression and fails if the server does not accept.
func open(conn net.Conn, a *adapter, target *url.URL, token string, inflaters *inflaters) (*Client, error) {
	c := &Client{conn: conn, adapter: a, inflaters: inflaters, buffer: make([]byte, bufferSize)}
	if err := c.shakeHands(target, token); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// dial connects to a server and returns when the server has confirmed the session.
func dial(ctx context.Context, a *adapter, target *url.URL, token string, inflaters *inflaters) (*Client, error) {
	conn, err := dialHost(ctx, target)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // cannot fail on an open connection
	}
	c, err := open(conn, a, target, token, inflaters)
	if err != nil {
		return nil, err
	}
	if err := c.greet(token); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *Client) greet(token string) error {
	if c.adapter.Connect != "" {
		if err := c.Write([]byte(fill(c.adapter.Connect, "token", token))); err != nil {
			return err
		}
	}
	return c.await(c.adapter.Connected, 1)
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

// shakeHands performs the handshake. It always sends the example key of RFC 6455 and does
// not check the server's accept key, which a benchmark does not need.
func (c *Client) shakeHands(target *url.URL, token string) error {
	request := "GET " + target.RequestURI() + " HTTP/1.1\r\nHost: " + target.Host +
		"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13" +
		"\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	if c.adapter.Subprotocol != "" {
		request += "Sec-WebSocket-Protocol: " + c.adapter.Subprotocol + "\r\n"
	}
	if token != "" {
		request += "Authorization: Bearer " + token + "\r\n"
	}
	if c.inflaters != nil {
		request += "Sec-WebSocket-Extensions: " + deflateOffer + "\r\n"
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

// await reads frames until they have contained the text what the given number of times,
// possibly more than once in a frame. It returns an error if the server refuses.
func (c *Client) await(what string, times int) error {
	var last []byte
	for what != "" && times > 0 {
		frame, err := c.Read()
		if err != nil {
			return fmt.Errorf("awaiting %s, after %.200q: %w", what, last, err)
		}
		if err := c.adapter.refusal(frame); err != nil {
			return err
		}
		last = append(last[:0], frame...)
		times -= bytes.Count(frame, []byte(what))
	}
	return nil
}

// Read returns the payload of the next message, which is valid until the next call of Read.
// It answers pings. It returns an error if the server sends a close frame.
func (c *Client) Read() ([]byte, error) {
	for {
		opcode, payload, err := c.frame()
		if err != nil {
			return nil, err
		}
		if opcode&compressedBit != 0 {
			if c.inflaters == nil {
				return nil, errors.New("the server compresses without being asked")
			}
			c.inflated, err = c.inflaters.inflate(payload, c.inflated)
			return c.inflated, err
		}
		switch opcode {
		case pingFrame:
			if err := c.send(pongFrame, payload); err != nil {
				return nil, err
			}
		case closeFrame:
			if len(payload) < 2 {
				return nil, errors.New("closed without a code")
			}
			return nil, fmt.Errorf("closed with %d %s", binary.BigEndian.Uint16(payload), payload[2:])
		case pongFrame:
		default:
			if c.adapter.Ping == "" || string(payload) != c.adapter.Ping {
				return payload, nil
			}
			if err := c.Write([]byte(c.adapter.Pong)); err != nil {
				return nil, err
			}
		}
	}
}

// whole reports whether the next frame is completely in the buffer.
func (c *Client) whole() bool {
	have := c.end - c.begin
	if have < 2 {
		return false
	}
	header, size, ok := c.head(have)
	return ok && have >= header+size
}

// frame reads one frame (RFC 6455, section 5.2). It expects that the server does not
// fragment or mask. The opcode may have compressedBit set.
func (c *Client) frame() (opcode byte, payload []byte, err error) {
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
	if size < 0 || size > longestFrame {
		return 0, nil, errors.New("the server sent a frame that is too long for a benchmark")
	}
	if err := c.fill(header + size); err != nil {
		return 0, nil, err
	}
	opcode = c.buffer[c.begin] & (compressedBit | 0x0f)
	payload = c.buffer[c.begin+header : c.begin+header+size]
	c.begin += header + size
	return opcode, payload, nil
}

// head returns the lengths of the header and payload of the next frame, of which have bytes,
// at least 2, are in the buffer. If the header is incomplete, ok is false and only the
// header's length is valid.
func (c *Client) head(have int) (header, size int, ok bool) {
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

// fill reads until the buffer contains n unread bytes.
func (c *Client) fill(n int) error {
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

// subscribe subscribes to the channels and returns when the server has confirmed all of
// them.
func (c *Client) subscribe(channels ...string) error {
	if c.adapter.Subscribe == "" {
		return nil // the path subscribed already
	}
	for _, channel := range channels {
		c.add(c.adapter.subscribe(channel))
	}
	if err := c.flush(); err != nil {
		return err
	}
	return c.await(c.adapter.Subscribed, len(channels))
}

// Write sends a text message.
func (c *Client) Write(text []byte) error { return c.send(textFrame, text) }

func (c *Client) send(opcode byte, payload []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.out = appendMasked(c.out, opcode, payload)
	return c.writeOut()
}

// add queues a copy of a text message, which flush sends.
func (c *Client) add(text []byte) {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.out = appendMasked(c.out, textFrame, text)
}

// flush sends the queued messages in one write.
func (c *Client) flush() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.writeOut()
}

func (c *Client) writeOut() error {
	if len(c.out) == 0 {
		return nil
	}
	_, err := c.conn.Write(c.out)
	c.out = c.out[:0]
	return err
}

// endless removes the deadline of the connection.
func (c *Client) endless() { _ = c.conn.SetDeadline(time.Time{}) }

// Close closes the connection without a close frame. Blocked calls of Read and Write return
// an error.
func (c *Client) Close() { c.conn.Close() }
