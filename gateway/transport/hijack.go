package transport

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
)

// hijacker hands the WebSocket library a wire in the place of net/http's
// connection, with buffers of its own: net/http's are of 4 KB each and go back
// to it once its handler has returned.
type hijacker struct {
	http.ResponseWriter
	wire   *wire
	reader *bufio.Reader // what the library reads from; set by Hijack
}

const (
	readerBytes = 16  // the least that bufio makes; payloads are read past it
	writerBytes = 128 // the longest control frame and a byte: each is one write
)

func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffers, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	early, _ := buffers.Reader.Peek(buffers.Reader.Buffered())
	h.wire.begin(conn, bytes.Clone(early))
	h.reader = bufio.NewReaderSize(h.wire, readerBytes)
	return h.wire, bufio.NewReadWriter(h.reader, bufio.NewWriterSize(h.wire, writerBytes)), nil
}
