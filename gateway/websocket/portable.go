package websocket

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"time"

	"tidegate/broker/lock"
	"tidegate/gateway"

	coder "github.com/coder/websocket"
)

// portable is the engine for every system. It reads with github.com/coder/websocket, and has
// one goroutine for each connection.
type portable struct {
	shared *shared

	mu   lock.Mutex[lock.Connections]
	open map[*portableConn]struct{}
}

func newPortable(s *shared) engine {
	return &portable{shared: s, open: make(map[*portableConn]struct{})}
}

func (e *portable) take(w http.ResponseWriter, r *http.Request, session *gateway.Session, agreed agreement) error {
	c := &portableConn{link: link{sender: sender{shared: e.shared}, session: session}, said: make(chan struct{})}
	c.hear()
	options := &coder.AcceptOptions{
		InsecureSkipVerify: true, // Server has checked the origin
		OnPingReceived:     func(_ context.Context, payload []byte) bool { return c.heardPing(payload) },
		OnPongReceived:     func(context.Context, []byte) { c.heardControl() },
	}
	if agreed.subprotocol != "" {
		options.Subprotocols = []string{agreed.subprotocol}
	}
	if agreed.extension != "" {
		options.CompressionMode = coder.CompressionNoContextTakeover
		r = offer(r, deflateAnswer)
	}
	peer, err := coder.Accept(&upgrade{w, c, agreed.extension}, r, options)
	if err != nil {
		return err
	}
	peer.SetReadLimit(e.shared.limit)
	c.peer = peer
	e.add(c)
	session.Attach(c)
	go e.serve(c)
	return nil
}

// offer returns a copy of the request with another offer of extensions.
func offer(r *http.Request, extensions string) *http.Request {
	r = r.Clone(r.Context())
	r.Header.Set("Sec-WebSocket-Extensions", extensions)
	return r
}

func (e *portable) add(c *portableConn) {
	e.shared.enter()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.open[c] = struct{}{}
}

func (e *portable) remove(c *portableConn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.open, c)
	e.shared.leave()
}

func (e *portable) hangUp() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for c := range e.open {
		c.out.abort()
	}
}

func (e *portable) close() {}

// serve handles what the client sends until the session ends, and then lingers.
func (e *portable) serve(c *portableConn) {
	defer e.remove(c)
	defer e.shared.wall.Catch("read from a WebSocket", c.crash)
	for {
		if err := c.receive(); err != nil {
			c.session.End(err)
			c.linger()
			return
		}
	}
}

// portableConn is the connection of a WebSocket client. Its frames come from a Framed
// protocol. The library only reads from it.
type portableConn struct {
	link

	// Fixed at birth.
	conn net.Conn // set by upgrade, as is sender.out
	peer *coder.Conn
	said chan struct{} // closed when the farewell has been written or abandoned

	// Owned by the reading goroutine.
	early     []byte // bytes that came with the handshake and are not read yet
	inMessage bool   // a message has begun and not ended: its data is no sign of life
	arrived   int64  // bytes that have arrived since it began
	ended     error  // the error of next that ended reading
	broken    error  // the error of conn.Read
	ping      []byte // the payload of the newest ping that is not answered yet; nil if there is none
}

var _ gateway.Conn = (*portableConn)(nil)

// receive reads and handles one message.
func (c *portableConn) receive() error {
	frame, buffer, err := c.next()
	if buffer != nil {
		defer c.shared.unfinished.put(buffer)
	}
	c.answerPing()
	if err != nil || c.isClosing() {
		return err
	}
	return c.shared.receive(c.session, frame)
}

// next reads one message into a buffer. It passes the library a context that is never
// canceled: with any other, each read would start to watch the context.
func (c *portableConn) next() (frame gateway.Frame, b *buffer, err error) {
	defer func() { c.ended = err }()
	kind, r, err := c.peer.Reader(context.Background())
	if err != nil {
		return gateway.Frame{}, nil, c.readError(err)
	}
	c.inMessage, c.arrived = true, 0
	payer := c.session.Payer()
	for {
		if b, err = c.shared.unfinished.room(b, payer, 1, math.MaxInt); err != nil {
			return gateway.Frame{}, b, err
		}
		n, err := r.Read(b.bytes[len(b.bytes):cap(b.bytes)])
		b.bytes = b.bytes[:len(b.bytes)+n]
		if err == io.EOF && c.broken == nil { // also EOF of a lost connection
			break
		}
		if err != nil {
			return gateway.Frame{}, b, c.readError(err)
		}
	}
	c.inMessage = false
	c.progress.note(&c.shared.pace, c.session, 0, false)
	c.hear()
	return gateway.Frame{Data: b.bytes, Binary: kind == coder.MessageBinary}, b, nil
}

// readError translates an error of the library into one for the session.
func (c *portableConn) readError(err error) error {
	var closed coder.CloseError
	var corrupt flate.CorruptInputError
	switch {
	case errors.As(err, &closed):
		return c.closedBy(closed)
	case errors.Is(err, coder.ErrMessageTooBig):
		return c.tooBig()
	case errors.Is(c.broken, gateway.TooBig):
		return c.broken
	case errors.As(err, &corrupt):
		return fmt.Errorf("%w: %w", gateway.InvalidData.With("a compressed message cannot be inflated"), err)
	case c.broken != nil:
		return fmt.Errorf("%w: %w", gateway.Lost, c.broken)
	default:
		return fmt.Errorf("%w: %w", gateway.ProtocolError, err)
	}
}

// closedBy translates the peer's close frame into an error for the session.
func (c *portableConn) closedBy(closed coder.CloseError) error {
	var payload []byte
	if closed.Code != coder.StatusNoStatusRcvd {
		payload = append(binary.BigEndian.AppendUint16(nil, uint16(closed.Code)), closed.Reason...)
	}
	if err := checkClose(payload); err != nil {
		return err
	}
	c.noteClose(payload)
	return io.EOF
}

// heardPing is called by the library, in the reading goroutine, for each ping. It keeps the
// payload for answerPing, and returns false, so that the library does not answer.
func (c *portableConn) heardPing(payload []byte) bool {
	c.ping = append([]byte{}, payload...)
	c.heardControl()
	return false
}

// heardControl is called, in the same way, for each ping and pong.
func (c *portableConn) heardControl() {
	c.hearControl(c.inMessage)
	c.paceControls()
}

func (c *portableConn) Close(reason gateway.Reason, rest []byte) {
	c.part(reason, rest, func() {
		c.conn.SetReadDeadline(time.Now().Add(c.patience()))
		close(c.said)
	})
}

// linger is called after the session has ended. It waits for the peer to close, so that the
// peer can read why the session ended, and then closes the connection. Its waits are
// bounded.
func (c *portableConn) linger() {
	<-c.said
	for c.ended == nil {
		_, b, _ := c.next()
		if b != nil {
			c.shared.unfinished.put(b)
		}
	}
	if reason := gateway.ReasonOf(c.ended); !reason.Is(gateway.Left) && !reason.Is(gateway.Lost) {
		c.conn.SetReadDeadline(time.Now().Add(c.patience())) // the library may have ended it
		io.Copy(io.Discard, c.conn)
	}
	c.hangUp()
	c.peer.CloseNow() // frees what the library holds
}

// patience returns how long the peer may take to close. It is short if too many connections
// linger.
func (c *portableConn) patience() time.Duration {
	if c.shared.excess() > fewLinger {
		return lingerPatience / 40
	}
	return lingerPatience
}

// crash ends a connection whose reading goroutine has panicked.
func (c *portableConn) crash() {
	c.session.End(gateway.Failed)
	<-c.said
	c.hangUp()
}

// hangUp closes the connection after what was taken has been written.
func (c *portableConn) hangUp() {
	c.out.await(time.Now().Add(lingerPatience))
	c.out.abort()
}

// upgrade is the ResponseWriter of a handshake. It gives the library a hijacked connection
// that is wrapped in a library value.
type upgrade struct {
	http.ResponseWriter
	conn      *portableConn
	extension string
}

// WriteHeader replaces the library's answer to the offer of extensions by ours, because the
// library leaves out an offered parameter that must be answered (RFC 7692, section 7.1.2.1).
func (u *upgrade) WriteHeader(status int) {
	if u.extension != "" && status == http.StatusSwitchingProtocols {
		u.Header().Set("Sec-WebSocket-Extensions", u.extension)
	}
	u.ResponseWriter.WriteHeader(status)
}

const (
	readerBytes = 512
	writerBytes = 16 // what is written there is dropped
)

func (u *upgrade) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffers, err := http.NewResponseController(u.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	c := u.conn
	early, _ := buffers.Reader.Peek(buffers.Reader.Buffered())
	c.conn, c.early = conn, bytes.Clone(early)
	c.out = newRelay(conn, c.shared.wall)
	boundUnsent(conn)
	l := library{Conn: conn, to: c}
	return l, bufio.NewReadWriter(bufio.NewReaderSize(l, readerBytes), bufio.NewWriterSize(l, writerBytes)), nil
}

// library is the connection that the library reads and writes.
type library struct {
	net.Conn
	to *portableConn
}

// Read first returns the bytes that came with the handshake.
func (l library) Read(p []byte) (n int, err error) {
	c := l.to
	if len(c.early) > 0 {
		n = copy(p, c.early)
		c.early = c.early[n:]
		return n, nil
	}
	if c.broken == nil {
		c.answerPing()
		c.session.Rest()
		c.progress.note(&c.shared.pace, c.session, 0, c.inMessage)
		n, c.broken = l.Conn.Read(p)
		c.countArrived(n)
		c.progress.note(&c.shared.pace, c.session, n, c.inMessage)
	}
	if n > 0 {
		return n, nil // the next Read returns any error
	}
	return 0, c.broken
}

// countArrived counts bytes of an unfinished message. The library limits only its payload, and
// would take empty fragments without end.
func (c *portableConn) countArrived(n int) {
	if c.arrived += int64(n); c.inMessage && c.broken == nil && c.shared.limit >= 0 && c.arrived > 2*c.shared.limit {
		c.broken = c.tooBig()
	}
}

func (c *portableConn) tooBig() error {
	return gateway.TooBig.With(fmt.Sprintf("a message is longer than %d bytes", c.shared.limit))
}

// Write drops the library's close frames: the gateway sends its own, with the session's
// reason, possibly after the rest of an unfinished frame.
func (l library) Write(p []byte) (int, error) { return len(p), nil }

// answerPing answers the newest ping, if it is not answered yet.
func (c *portableConn) answerPing() {
	if c.ping != nil {
		c.pong(c.ping)
		c.ping = nil
	}
}

// Close is called by the library when it stops reading. It only ends the reads: the
// connection stays open for the farewell.
func (l library) Close() error { return l.Conn.SetReadDeadline(time.Unix(1, 0)) }
