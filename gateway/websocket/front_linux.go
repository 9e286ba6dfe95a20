package websocket

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"tidegate/gateway/internal/wall"
)

// front accepts connections for an http.Server, and serves those that begin with a plain
// handshake itself. It takes less than net/http for them: no goroutine that starts and ends,
// and no buffers. Its acceptors are goroutines that accept a connection, serve its handshake,
// and accept the next one; they are as many as there are handshakes in progress, and some more.
type front struct {
	net.Listener // of TCP connections

	// Fixed at birth.
	routes  *http.ServeMux
	handler http.Handler
	note    func(net.Conn, http.ConnState)
	wall    *wall.Wall
	idle    int32           // number of acceptors that wait for a handshake when nothing happens
	life    context.Context // canceled by Close
	end     context.CancelFunc
	others  chan accepted // what Accept returns

	acceptors sync.WaitGroup
	waiting   atomic.Int32 // acceptors that have no handshake
	turn      sync.Mutex   // held by the acceptor that accepts
}

type accepted struct {
	conn net.Conn
	err  error
}

// Front returns a listener for server.Serve. It accepts connections from l and serves the
// handshakes for the endpoints of routes that were made by Handler, with server's Handler and
// ConnState. All other connections are returned by Accept, with nothing read from them; so are
// those whose first bytes are not one complete handshake in its usual form. The context of a
// handshake's request is canceled when l is closed, not when its client leaves: do not use it
// if a client may wait long for an answer.
func (s *Server) Front(l net.Listener, server *http.Server, routes *http.ServeMux) net.Listener {
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return l
	}
	if control, err := tcp.SyscallConn(); err == nil {
		control.Control(deferAccept) // without it, few handshakes are there in time
	}
	f := newFront(l, server, routes)
	f.wall = s.Gateway.Wall()
	s.fronts = append(s.fronts, f)
	f.acceptors.Go(f.accept)
	return f
}

func newFront(l net.Listener, server *http.Server, routes *http.ServeMux) *front {
	f := &front{
		Listener: l, routes: routes, handler: server.Handler, note: server.ConnState,
		idle: int32(runtime.GOMAXPROCS(0)), others: make(chan accepted),
	}
	if f.note == nil {
		f.note = func(net.Conn, http.ConnState) {}
	}
	f.life, f.end = context.WithCancel(context.Background())
	return f
}

// deferAccept makes the kernel report a connection when its client has sent something, or after
// a second or a few (tcp(7)). If the node ends before that, a client learns it when it sends.
func deferAccept(fd uintptr) {
	_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 1)
}

// Accept implements net.Listener.
func (f *front) Accept() (net.Conn, error) {
	select {
	case a := <-f.others:
		return a.conn, a.err
	case <-f.life.Done():
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (f *front) Close() error {
	f.end()
	return f.Listener.Close()
}

// stop closes the front, and waits until it serves no handshake any more. As http.Server.Close
// does, it leaves behind handlers that do not heed their context, but not before lastPatience.
func (f *front) stop() {
	_ = f.Close() // fails if it has been closed before
	served := make(chan struct{})
	go func() {
		f.acceptors.Wait()
		close(served)
	}()
	select {
	case <-served:
	case <-time.After(lastPatience):
	}
}

// headBytes is the most that a handshake may take here.
const headBytes = 4 << 10

func (f *front) accept() {
	growStack(0)
	reader, block := bufio.NewReader(nil), make([]byte, headBytes)
	for f.beginsToWait() {
		v := f.next(block, reader)
		left := f.waiting.Add(-1)
		if v == nil {
			return // the front is closed
		}
		if left == 0 {
			f.acceptors.Go(f.accept) // goes on if this handshake takes long
		}
		f.serve(v)
	}
}

// beginsToWait counts one more acceptor that waits, unless enough do.
func (f *front) beginsToWait() bool {
	for {
		n := f.waiting.Load()
		if n >= f.idle {
			return false
		}
		if f.waiting.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// next waits for a handshake, and passes on what else comes. It returns nil if the front is
// closed.
func (f *front) next(block []byte, reader *bufio.Reader) *visit {
	for {
		conn := f.nextConn()
		if conn == nil {
			return nil
		}
		head := block[:peek(conn, block)]
		if r := handshakeIn(head, reader); r != nil && f.hasEndpoint(r) {
			return &visit{conn: conn, head: head, request: r}
		}
		if !f.pass(accepted{conn, nil}) {
			return nil
		}
	}
}

// nextConn accepts a connection, and passes on errors. It returns nil if the front is closed.
// net/http pauses after each error, so nobody tries again before it has taken the last one.
func (f *front) nextConn() *net.TCPConn {
	f.turn.Lock()
	defer f.turn.Unlock()
	for {
		conn, err := f.Listener.Accept()
		if err == nil {
			return conn.(*net.TCPConn)
		}
		if !f.pass(accepted{nil, err}) {
			return nil
		}
	}
}

// pass makes Accept return a, or returns false if the front is closed. While net/http is busy,
// nothing more is accepted: such connections do not count towards its limits yet.
func (f *front) pass(a accepted) bool {
	select {
	case f.others <- a:
		return true
	case <-f.life.Done():
		if a.err == nil {
			a.conn.Close()
		}
		return false
	}
}

func (f *front) hasEndpoint(r *http.Request) bool {
	h, _ := f.routes.Handler(r)
	_, is := h.(endpoint)
	return is
}

// serve reads the request of a visit, and answers it.
func (f *front) serve(v *visit) {
	f.note(v.conn, http.StateNew)
	defer func() { f.leave(v, recover()) }()
	if _, err := io.ReadFull(v.conn, v.head); err != nil {
		return // the connection exceeds a limit, or is broken
	}
	v.request.RemoteAddr = v.conn.RemoteAddr().String()
	f.handler.ServeHTTP(v, v.request.WithContext(f.life))
	if !v.hijacked {
		v.send()
	}
}

// leave ends the visit of a connection, after a panic of the handler if panicked is not nil.
func (f *front) leave(v *visit, panicked any) {
	if panicked != nil && panicked != http.ErrAbortHandler {
		f.wall.Report("serve a handshake", panicked)
	}
	if v.hijacked && panicked == nil {
		f.note(v.conn, http.StateHijacked)
		return
	}
	v.conn.Close()
	f.note(v.conn, http.StateClosed)
}

// peek copies the first bytes that have arrived, without taking them.
func peek(conn *net.TCPConn, block []byte) (n int) {
	control, err := conn.SyscallConn()
	if err != nil {
		return 0
	}
	control.Control(func(fd uintptr) { n, _, err = unix.Recvfrom(int(fd), block, unix.MSG_PEEK|unix.MSG_DONTWAIT) })
	return max(n, 0)
}

// handshakeIn returns the request that head consists of. It returns nil if head is anything but
// one handshake in the form in which all clients write it; it is left to net/http to judge it.
func handshakeIn(head []byte, reader *bufio.Reader) *http.Request {
	if !isPlain(head) {
		return nil
	}
	reader.Reset(bytes.NewReader(head))
	r, err := http.ReadRequest(reader)
	if err != nil || r.Method != http.MethodGet || r.Proto != "HTTP/1.1" || r.ContentLength != 0 || len(r.TransferEncoding) > 0 ||
		len(r.Header["Sec-Websocket-Key"]) == 0 || len(r.Header["Expect"]) > 0 || !isPlainHost(r.Host) {
		return nil
	}
	return r
}

// isPlain reports whether head is the complete head of a request and nothing more, in printable
// ASCII, with plain names of headers, and one Host.
func isPlain(head []byte) bool {
	head, complete := bytes.CutSuffix(head, []byte("\r\n\r\n"))
	if !complete {
		return false
	}
	first, headers, _ := bytes.Cut(head, []byte("\r\n"))
	hosts := 0
	for line := range bytes.SplitSeq(headers, []byte("\r\n")) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if len(bytes.Trim(name, tokenBytes)) > 0 || len(name) == 0 || !isPrintable(value) {
			return false
		}
		if bytes.EqualFold(name, []byte("host")) {
			if !isPlainHost(string(bytes.TrimSpace(value))) {
				return false // even if the first line names another
			}
			hosts++
		}
	}
	return hosts == 1 && isPrintable(first)
}

func isPrintable(line []byte) bool {
	return !slices.ContainsFunc(line, func(c byte) bool { return c < ' ' || c > '~' })
}

const (
	tokenBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	hostBytes  = tokenBytes + ".:[]"
)

// isPlainHost reports whether host is a name or an address, perhaps with a port.
func isPlainHost(host string) bool {
	return host != "" && strings.Trim(host, hostBytes) == ""
}

// visit is the ResponseWriter of a handshake. It sends no answer before the handler
// returns or hijacks the connection.
type visit struct {
	// Fixed at birth.
	conn    *net.TCPConn
	head    []byte // what the client has sent, and the acceptor has not read yet
	request *http.Request

	hijacked bool
	header   http.Header
	status   int // 0: not set
	body     bytes.Buffer
}

func (v *visit) Header() http.Header {
	if v.header == nil {
		v.header = make(http.Header)
	}
	return v.header
}

func (v *visit) WriteHeader(status int) {
	if v.status == 0 {
		v.status = status
	}
}

func (v *visit) Write(p []byte) (int, error) {
	v.WriteHeader(http.StatusOK)
	return v.body.Write(p)
}

// SetReadDeadline and SetWriteDeadline implement what http.ResponseController needs. There are
// no deadlines to lift.
func (v *visit) SetReadDeadline(time.Time) error  { return nil }
func (v *visit) SetWriteDeadline(time.Time) error { return nil }

// Hijack implements http.Hijacker. It sends what WriteHeader has been told (portable), as
// net/http does. Nothing is buffered, so the buffers are as small as can be.
func (v *visit) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	v.hijacked = true
	if v.status != 0 {
		v.send()
	}
	return v.conn, bufio.NewReadWriter(bufio.NewReaderSize(v.conn, 16), bufio.NewWriterSize(v.conn, 16)), nil
}

// answerPatience is how long a client may take to read a refusal.
const answerPatience = 10 * time.Second

// send sends the answer. If that is a refusal, the connection ends.
func (v *visit) send() {
	v.WriteHeader(http.StatusOK)
	v.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	answer := http.Response{
		StatusCode: v.status, ProtoMajor: 1, ProtoMinor: 1, Request: v.request, Header: v.header,
		Body: io.NopCloser(&v.body), ContentLength: int64(v.body.Len()), Close: !v.hijacked,
	}
	_ = v.conn.SetDeadline(time.Now().Add(answerPatience)) // these fail only on a closed connection
	_ = answer.Write(v.conn)
	_ = v.conn.SetDeadline(time.Time{})
}
