package transport

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/coder/websocket"
)

// parser is the library's part in a connection: it reads the frames. Where no
// message has begun it holds nothing of its connection, so that those that have
// something to read share a few.
type parser struct {
	net.Conn // none: the library reads, writes and closes, and no more
	peer     *websocket.Conn
	reader   *bufio.Reader        // what peer reads from
	wire     atomic.Pointer[wire] // of the connection; nil: there is none
	marks    marks
}

const (
	readerBytes = 16  // the least that bufio makes; payloads are read past it
	writerBytes = 128 // the longest control frame and a byte: each is one write
)

// newParser returns a parser without a connection, for messages of up to limit
// bytes; -1: of any length. The library makes one by a handshake only.
func newParser(limit int64) (*parser, error) {
	p := &parser{}
	peer, err := websocket.Accept(rehearsal{p}, &http.Request{
		Method:     http.MethodGet,
		ProtoMajor: 1,
		ProtoMinor: 1,
		Header: http.Header{
			"Connection":            {"Upgrade"},
			"Upgrade":               {"websocket"},
			"Sec-Websocket-Version": {webSocketVersion},
			"Sec-Websocket-Key":     {"AAAAAAAAAAAAAAAAAAAAAA=="},
		},
	}, &websocket.AcceptOptions{
		CompressionMode: websocket.CompressionDisabled, // see marks
		OnPingReceived:  p.pinged,
		OnPongReceived:  p.ponged,
	})
	if err != nil {
		return nil, err
	}
	peer.SetReadLimit(limit)
	p.peer = peer
	return p, nil
}

// noteFrameRead notes that a frame has been read to its end.
func (p *parser) noteFrameRead() { p.wire.Load().inFrame = p.reader.Buffered() > 0 }

// pinged is called by the library.
func (p *parser) pinged(context.Context, []byte) (answer bool) {
	p.noteFrameRead()
	return true
}

// ponged is called by the library.
func (p *parser) ponged(context.Context, []byte) { p.noteFrameRead() }

// Read is called by the library, as are Write and Close.
func (p *parser) Read(b []byte) (int, error) {
	w := p.wire.Load()
	n, err := w.Read(b)
	if w.deflate != nil {
		p.marks.pass(b[:n])
	}
	return n, err
}

func (p *parser) Write(b []byte) (int, error) { return p.wire.Load().Write(b) }

// Close is called for one that nobody has use for, too.
func (p *parser) Close() error {
	if w := p.wire.Load(); w != nil {
		return w.Close()
	}
	return nil
}

// rehearsal is where a handshake goes that nobody has asked for.
type rehearsal struct{ parser *parser }

func (r rehearsal) Header() http.Header         { return http.Header{} }
func (r rehearsal) Write(b []byte) (int, error) { return len(b), nil }
func (r rehearsal) WriteHeader(int)             {}

func (r rehearsal) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	r.parser.reader = bufio.NewReaderSize(r.parser, readerBytes)
	return r.parser, bufio.NewReadWriter(r.parser.reader, bufio.NewWriterSize(r.parser, writerBytes)), nil
}
