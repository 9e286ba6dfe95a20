package websocket

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"tidegate/broker/lock"
	"tidegate/gateway"
)

// epoll is the engine for Linux. A connection has a goroutine only while its client has sent
// something that is not handled yet.
type epoll struct {
	shared    *shared
	poller    *poller
	lingering lingering
	blocks    sync.Pool // of *[blockBytes]byte, for reading
	readers   sync.Pool // of *reader
}

const blockBytes = 4 << 10

func newEpoll(s *shared) (engine, error) {
	p, err := newPoller(s.wall)
	if err != nil {
		return nil, err
	}
	return &epoll{shared: s, poller: p}, nil
}

func (e *epoll) take(w http.ResponseWriter, r *http.Request, session *gateway.Session, agreed agreement) error {
	conn, early, err := hijack(w)
	if err != nil {
		return err
	}
	fd, err := detach(conn)
	if err != nil {
		return err
	}
	boundUnsentOf(uintptr(fd))
	c := &epollConn{engine: e, deflate: agreed.extension != "", socket: socket{poller: e.poller, fd: int32(fd)}}
	c.out, c.shared, c.session = &c.socket, e.shared, session
	c.sender.begin(answerOf(r, agreed))
	c.hear()
	c.state.Store(serving)
	if err := e.poller.watch(c, &c.socket); err != nil {
		c.socket.close()
		return fmt.Errorf("epoll: %w", err)
	}
	e.shared.enter()
	// The session's first frames go out together with the answer to the handshake.
	if !session.HasNews() && !c.sendAnswer() {
		session.Close(gateway.Lost) // a new connection that cannot take even this little
	}
	session.Attach(c)
	if len(early) > 0 || !c.pauseServing() {
		go c.serve(early)
	}
	return nil
}

// hijack returns a request's connection, and the bytes that the client has already sent.
func hijack(w http.ResponseWriter) (conn net.Conn, early []byte, err error) {
	conn, buffers, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, err
	}
	if tcpOf(conn) == nil {
		conn.Close()
		return nil, nil, fmt.Errorf("%T is no TCP connection: set websocket.engine to portable", conn)
	}
	read, _ := buffers.Reader.Peek(buffers.Reader.Buffered())
	held, err := heldBy(conn)
	if err != nil {
		conn.Close()
	}
	return conn, append(bytes.Clone(read), held...), err
}

// heldBy returns what a wrapper of a TCP connection has read ahead from it. It does not wait
// for more data.
func heldBy(conn net.Conn) (held []byte, err error) {
	if _, ok := conn.(*net.TCPConn); ok {
		return nil, nil
	}
	if err := conn.SetReadDeadline(time.Unix(1, 0)); err != nil {
		return nil, err
	}
	held, err = io.ReadAll(conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	return held, err
}

func (e *epoll) hangUp() { e.poller.hangUp() }

func (e *epoll) close() { e.poller.close() }

// epollConn is the connection of a WebSocket client. Its frames come from a Framed protocol.
//
// The goroutine that sets the serving bit of state owns the reading half until it clears the
// bit.
type epollConn struct {
	link

	// Fixed at birth.
	engine *epoll
	socket socket

	// Owned by the serving goroutine.
	reader *reader // nil while it would hold nothing
	told   bool    // the session has been ended
	ended  bool    // there is nothing more to read

	deflate bool // fixed at birth
	state   atomic.Uint32
}

var _ gateway.Conn = (*epollConn)(nil)

// The state of a connection, a set of bits.
const (
	serving = 1 << iota // a goroutine serves it
	woken               // something has happened since the goroutine last looked
	hungUp              // the peer will send nothing more than what has arrived
	over                // the connection is closed and never served again
)

// wake starts a goroutine to serve the connection, or makes the serving one look again. last
// says that the peer sends nothing more.
func (c *epollConn) wake(last bool) {
	bits := uint32(serving)
	if last {
		bits |= hungUp
	}
	for {
		old := c.state.Load()
		wanted := old | bits
		if old&serving != 0 {
			wanted |= woken
		}
		switch {
		case old&over != 0:
			return
		case !c.state.CompareAndSwap(old, wanted):
		case old&serving == 0:
			go c.serve(nil)
			return
		default:
			return
		}
	}
}

// pauseServing makes the caller stop serving until the next wake. It returns false if
// something has happened since the caller last looked; then the caller must look again.
func (c *epollConn) pauseServing() bool {
	for {
		old := c.state.Load()
		wanted := old &^ (serving | woken)
		if old&woken != 0 {
			wanted |= serving
		}
		if c.state.CompareAndSwap(old, wanted) {
			return wanted&serving == 0
		}
	}
}

// serve handles what the client sends, beginning with early, until there is nothing more to
// read for now. Once the connection has ended in both directions, serve closes it.
func (c *epollConn) serve(early []byte) {
	defer c.shared.wall.Catch("read from a WebSocket", c.crash)
	growStack(0)
	if len(early) > 0 {
		c.handle(early)
	}
	for {
		if !c.ended {
			c.readAll()
		}
		if c.ended && c.hasParted() {
			c.finish()
			return
		}
		if c.pauseServing() {
			return
		}
	}
}

// finish closes the connection and frees what it holds.
func (c *epollConn) finish() {
	c.state.Store(over)
	c.engine.poller.forget(&c.socket)
	c.mu.Lock()
	c.socket.close()
	c.mu.Unlock()
	if c.reader != nil {
		c.reader.reset()
		c.giveReader()
	}
	c.shared.leave()
}

// crash ends a connection whose reading goroutine has panicked.
func (c *epollConn) crash() {
	c.endSession(gateway.Failed)
	c.ended = true
	if c.hasParted() || !c.pauseServing() {
		go c.serve(nil)
	}
}

// readAll reads and handles all data that has arrived.
func (c *epollConn) readAll() {
	block, ok := c.engine.blocks.Get().(*[blockBytes]byte)
	if !ok {
		block = new([blockBytes]byte)
	}
	defer c.engine.blocks.Put(block)
	for !c.ended {
		n, err := c.socket.read(block[:])
		switch {
		case err == unix.EAGAIN:
			return
		case err != nil:
			c.end(fmt.Errorf("%w: %w", gateway.Lost, err))
			return
		case n == 0:
			c.end(fmt.Errorf("%w: %w", gateway.Lost, io.ErrUnexpectedEOF))
			return
		}
		c.handle(block[:n])
		if n < len(block) && c.state.Load()&hungUp == 0 {
			return // the kernel reports any data that arrives from now on
		}
	}
}

// end records that there is nothing more to read, and ends the session.
func (c *epollConn) end(err error) {
	c.ended = true
	c.endSession(err)
}

// endSession ends the session. Only the first call has an effect.
func (c *epollConn) endSession(err error) {
	if !c.told {
		c.told = true
		c.session.End(err)
	}
}

// handle handles the items in data. It keeps an incomplete item for later. Of several pings
// in a row it answers only the last one.
func (c *epollConn) handle(data []byte) {
	var ping []byte // the payload of the ping to answer; nil if there is none
	for len(data) > 0 && !c.ended {
		c.takeReader()
		one, rest, err := c.reader.next(data)
		switch {
		case one.kind == opPing:
			ping = append(make([]byte, 0, maxControl), one.payload...)
		case ping != nil && one.kind != opPong:
			c.pong(ping)
			ping = nil
		}
		if err != nil {
			c.endSession(err)
		}
		c.progress.note(&c.shared.pace, c.session, len(data)-len(rest), c.reader.inMessage())
		c.handleItem(one)
		data = rest
	}
	if ping != nil {
		c.pong(ping)
	}
	if c.reader != nil && c.reader.idle() {
		c.reader.letGo()
		c.giveReader()
	}
	c.session.Rest()
}

func (c *epollConn) handleItem(one item) {
	switch one.kind {
	case opText, opBinary:
		c.hear()
		if c.told || c.isClosing() {
			return
		}
		if err := c.receive(one); err != nil {
			c.endSession(err)
		}
	case opPing, opPong:
		c.hearControl(c.reader.inMessage())
		if c.state.Load()&hungUp == 0 { // else what is left has an end, and the session with it
			c.paceControls()
		}
	case opClose:
		c.handleClose(one.payload)
	}
}

func (c *epollConn) receive(message item) error {
	frame := gateway.Frame{Data: message.payload, Binary: message.kind == opBinary}
	if message.packed {
		b, err := c.shared.inflate(c.reader.payer, message.payload)
		if b != nil {
			defer c.shared.unfinished.put(b)
		}
		if err != nil {
			return err
		}
		frame.Data = b.bytes
	}
	return c.shared.receive(c.session, frame)
}

func (c *epollConn) handleClose(payload []byte) {
	switch err := checkClose(payload); {
	case c.reader.failed: // it answers our close frame, or crosses it
		c.ended = true
	case err != nil:
		c.reader.fail()
		c.endSession(err)
	default:
		c.noteClose(payload)
		c.end(io.EOF)
	}
}

func (c *epollConn) takeReader() {
	if c.reader != nil {
		return
	}
	spare, ok := c.engine.readers.Get().(*reader)
	if !ok {
		spare = &reader{}
	}
	spare.limit, spare.deflate, spare.unfinished, spare.payer = c.shared.limit, c.deflate, &c.shared.unfinished, c.session.Payer()
	c.reader = spare
}

func (c *epollConn) giveReader() {
	c.engine.readers.Put(c.reader)
	c.reader = nil
}

func (c *epollConn) Close(reason gateway.Reason, rest []byte) {
	c.part(reason, rest, func() {
		c.engine.lingering.add(c)
		c.wake(false)
	})
}

func (c *epollConn) hangUp() {
	c.mu.Lock()
	c.socket.abort()
	c.mu.Unlock()
	c.wake(true)
}

// lingering is the connections whose peers have been sent a close frame and have
// lingerPatience to answer, or less if there are too many of them. It is safe for concurrent
// use.
type lingering struct {
	mu    lock.Mutex[lock.Connections]
	queue []leave // ordered by at
	timer *time.Timer
}

type leave struct {
	conn *epollConn
	at   time.Time
}

func (l *lingering) add(c *epollConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(l.queue, leave{c, time.Now().Add(lingerPatience)})
	if len(l.queue) == 1 {
		l.timer = time.AfterFunc(lingerPatience, func() { c.shared.wall.Do("close connections", l.hangUpDue) })
	}
	for excess := c.shared.excess(); excess > 0 && len(l.queue) > fewLinger; {
		if l.hangUpOldest() {
			excess--
		}
	}
}

// hangUpOldest removes the oldest connection and hangs it up. It reports whether the
// connection was still open. The caller must hold mu.
func (l *lingering) hangUpOldest() bool {
	c := l.queue[0].conn
	l.queue[0] = leave{}
	l.queue = l.queue[1:]
	if c.state.Load()&over != 0 {
		return false
	}
	c.hangUp()
	return true
}

// hangUpDue closes the connections whose time is up.
func (l *lingering) hangUpDue() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for len(l.queue) > 0 && !l.queue[0].at.After(now) {
		l.hangUpOldest()
	}
	if len(l.queue) > 0 {
		l.timer.Reset(l.queue[0].at.Sub(now))
	}
}
