package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"tidegate/gateway"

	"github.com/coder/websocket"
)

// webSocketConn is a client on a WebSocket. Its frames are those of a Framed
// protocol.
type webSocketConn struct {
	wire wire

	// Fixed at birth.
	limit   int64   // of a message's length on the wire; -1: none
	poller  *poller // nil: the connection always has a goroutine
	serving *sync.WaitGroup

	// Owned by the reading goroutine.
	parser  *parser       // nil: it was given up for a rest
	message *[]byte       // the memory of the last message; nil: none
	ended   error         // the error that ended reading
	rested  time.Duration // when it last wanted to rest, since wire.opened
	rests   int           // in a row, each less than a lull after the one before

	ticket ticket // guarded by the poller's mu
}

var _ gateway.Conn = (*webSocketConn)(nil)

// messageBytes is the size of a new buffer, longMessage that of the largest one
// that is kept for others.
const (
	messageBytes = 2 << 10
	longMessage  = 64 << 10
)

func (c *webSocketConn) Read(context.Context) (gateway.Frame, error) {
	for {
		frame, err := c.next()
		if err == errSilent {
			return gateway.Frame{}, err
		}
		if err != nil {
			c.ended = err
			return gateway.Frame{}, err
		}
		if !c.wire.isClosing() {
			return frame, nil
		}
	}
}

func (c *webSocketConn) Write(frames [][]byte, wait time.Duration) ([][]byte, error) {
	return c.wire.send(frames, wait)
}

func (c *webSocketConn) Heard() time.Time {
	return c.wire.opened.Add(time.Duration(c.wire.heard.Load()))
}

func (c *webSocketConn) Close(reason gateway.Reason, rest []byte) {
	c.wire.part(reason, rest)
	if c.poller.release(c) {
		go c.serve() // to linger
	}
}

// next reads one message. The library is given a context that never ends: with
// any other, each read would set up a watcher of it.
func (c *webSocketConn) next() (gateway.Frame, error) {
	c.release()
	if err := c.wire.lookAhead(); err != nil {
		return gateway.Frame{}, c.readError(err)
	}
	if err := c.takeParser(); err != nil {
		return gateway.Frame{}, err
	}
	c.parser.noteFrameRead()
	kind, reader, err := c.parser.peer.Reader(context.Background())
	if err != nil {
		return gateway.Frame{}, c.readError(err)
	}
	c.wire.inMessage = true
	compressed := c.parser.marks.next()
	data, err := c.readAll(reader)
	if err != nil {
		return gateway.Frame{}, c.readError(err)
	}
	c.wire.inMessage = false
	c.wire.hear()
	if compressed {
		if data, err = c.inflate(data); err != nil {
			return gateway.Frame{}, err
		}
	}
	return gateway.Frame{Data: data, Binary: kind == websocket.MessageBinary}, nil
}

func (c *webSocketConn) readAll(r io.Reader) ([]byte, error) {
	buffer := c.wire.shared.message()
	c.message = buffer
	data := (*buffer)[:0]
	for {
		if len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}
		n, err := r.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		*buffer = data
		if err == io.EOF {
			return data, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// inflate returns what was compressed, in the place of the last message.
func (c *webSocketConn) inflate(packed []byte) ([]byte, error) {
	buffer := c.wire.shared.message()
	data, err := c.wire.deflate.inflate((*buffer)[:0], packed, c.limit)
	*buffer = data
	c.release()
	c.message = buffer
	return data, err
}

// release gives the last message's memory back, so that a connection that waits
// owns none.
func (c *webSocketConn) release() {
	if c.message != nil && cap(*c.message) <= longMessage {
		c.wire.shared.messages.Put(c.message)
	}
	c.message = nil
}

// message returns memory for a message.
func (m *memory) message() *[]byte {
	if buffer, ok := m.messages.Get().(*[]byte); ok {
		return buffer
	}
	fresh := make([]byte, 0, messageBytes)
	return &fresh
}

// readError returns what the library's error means for the session.
func (c *webSocketConn) readError(err error) error {
	switch {
	case errors.Is(err, errSilent):
		return errSilent
	case websocket.CloseStatus(err) != -1:
		return io.EOF
	case errors.Is(err, websocket.ErrMessageTooBig):
		return fmt.Errorf("%w: %w", gateway.TooBig, err)
	case c.wire.readErr != nil:
		return fmt.Errorf("%w: %w", gateway.Lost, c.wire.readErr)
	default:
		return fmt.Errorf("%w: %w", gateway.ProtocolError, err)
	}
}

// linger follows the session's end: it waits for the peer to close, so that the
// peer can read why, and closes the connection. It takes a bounded time.
func (c *webSocketConn) linger() {
	c.wire.awaitParted()
	for c.ended == nil {
		_, c.ended = c.next()
	}
	if reason := gateway.ReasonOf(c.ended); reason != gateway.Left && reason != gateway.Lost {
		io.Copy(io.Discard, c.wire.Conn)
	}
	c.wire.out.close(time.Now().Add(lingerPatience))
	c.release()
	c.wire.in.release()
	if c.parser != nil {
		c.parser.peer.CloseNow() // lets go of what the library holds
	}
}
