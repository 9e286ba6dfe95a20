package websocket

import (
	"bytes"
	"fmt"
	"io"
	"runtime"

	"tidegate/gateway"

	// At the same level it needs two thirds of the standard library's time for 1 KB,
	// a third for 64 KB, makes them smaller, and takes less memory.
	"github.com/klauspost/compress/flate"
)

// Deflate compresses what sessions are sent, and inflates what they send, if
// their clients have agreed to permessage-deflate (RFC 7692). Each message is
// compressed by itself, so that its frame serves all sessions, and no connection
// keeps a window. All methods may be called concurrently.
type Deflate struct {
	minBytes    int
	compressors stock[*compressor]
	inflaters   stock[*inflater]
}

// NewDeflate returns a Deflate that leaves payloads of less than minBytes as they
// are. It makes at most one compressor for each processor, of about 0.8 MB, when
// there is something to compress.
func NewDeflate(minBytes int) *Deflate {
	processors := runtime.GOMAXPROCS(0)
	return &Deflate{minBytes, newStock(processors, newCompressor), newStock(processors, newInflater)}
}

// Framed is as the function of this name, and compresses messages. Nothing else
// is compressed: an answer may hold what several publishers said, and its length
// would tell one of them about the others. So may what differs between messages.
func (d *Deflate) Framed(p gateway.Protocol) gateway.Protocol { return deflated{framed{p}, d} }

// deflated is comparable if its protocol is.
type deflated struct {
	framed
	by *Deflate
}

func (d deflated) Encode(event gateway.Event) (gateway.Frame, error) {
	if !isWhole(event) {
		return d.framed.Encode(event)
	}
	frame, err := d.Protocol.Encode(event)
	if err != nil || frame.Data == nil {
		return gateway.Frame{}, err
	}
	return as(frame, d.by.frame(opcodeOf(frame), frame.Data)), nil
}

// isWhole reports whether an event is a message and nothing else.
func isWhole(event gateway.Event) bool {
	if delta, ok := event.(gateway.Delta); ok {
		return delta.Before == nil
	}
	_, ok := event.(gateway.Message)
	return ok
}

// compressionLevel is klauspost/compress's, from 1 to 9. Higher ones make a payload
// of 1 KB smaller by 3 %, and need a third more time and memory.
const compressionLevel = 1

type compressor struct {
	*flate.Writer
	out bytes.Buffer
}

func newCompressor() *compressor {
	c := &compressor{}
	c.Writer, _ = flate.NewWriter(&c.out, compressionLevel) // which is a valid one
	return c
}

// flushed is what ends a compressed message, and is not sent (section 7.2.1).
const flushed = "\x00\x00\xff\xff"

// frame returns a whole frame with the payload: compressed if that is shorter.
func (d *Deflate) frame(opcode byte, payload []byte) []byte {
	if len(payload) < d.minBytes {
		return frameOf(opcode, payload)
	}
	c := d.compressors.take()
	defer d.compressors.put(c)
	defer c.tidy()
	packed := c.compress(payload)
	if len(packed) >= len(payload) {
		return frameOf(opcode, payload)
	}
	return frameOf(rsv1|opcode, packed)
}

// compress returns the payload compressed, in memory that it uses again.
func (c *compressor) compress(payload []byte) []byte {
	c.out.Reset()
	c.Reset(&c.out)
	c.Write(payload) // to memory, which does not fail
	c.Flush()
	return bytes.TrimSuffix(c.out.Bytes(), []byte(flushed))
}

// tidy lets go of memory that a long message has taken.
func (c *compressor) tidy() {
	if c.out.Cap() > longBuffer {
		c.out = bytes.Buffer{}
	}
}

// ending makes of a compressed message, without what flushed it, a stream that
// ends.
var ending = []byte(flushed + "\x01\x00\x00\xff\xff")

type inflater struct {
	source twoParts
	stream io.ReadCloser // a flate.Resetter, too
}

// twoParts reads one part after the other.
type twoParts struct{ rest, then []byte }

func (t *twoParts) Read(p []byte) (n int, err error) {
	t.advance()
	if len(t.rest) == 0 {
		return 0, io.EOF
	}
	n = copy(p, t.rest)
	t.rest = t.rest[n:]
	return n, nil
}

func (t *twoParts) ReadByte() (byte, error) {
	t.advance()
	if len(t.rest) == 0 {
		return 0, io.EOF
	}
	b := t.rest[0]
	t.rest = t.rest[1:]
	return b, nil
}

func (t *twoParts) advance() {
	if len(t.rest) == 0 {
		t.rest, t.then = t.then, nil
	}
}

func (t *twoParts) length() int { return len(t.rest) + len(t.then) }

func newInflater() *inflater {
	i := &inflater{}
	i.stream = flate.NewReader(&i.source)
	return i
}

// inflate appends the message that was compressed to buf, and returns all. It
// inflates no more than limit bytes and one; -1: there is no limit. An error wraps
// a gateway.Reason.
func (d *Deflate) inflate(buf, packed []byte, limit int64) ([]byte, error) {
	i := d.inflaters.take()
	defer d.inflaters.put(i)
	i.source = twoParts{packed, ending}
	defer func() { i.source = twoParts{} }()
	if err := i.stream.(flate.Resetter).Reset(&i.source, nil); err != nil {
		return buf, err
	}
	buf, err := readAtMost(i.stream, buf, limit)
	if err == nil && !endsMessage(packed, i.source.length()) {
		err = fmt.Errorf("%w: something follows the end of a compressed message", gateway.InvalidData)
	}
	return buf, err
}

// endsMessage reports whether a message ends where its stream does, of which rest
// bytes are left, the ending among them. A sender may have ended the stream by
// itself; then a byte of 0 follows (section 7.2.3.4).
func endsMessage(packed []byte, rest int) bool {
	switch rest {
	case 0, len(ending):
		return true
	case len(ending) + 1:
		return packed[len(packed)-1] == 0
	}
	return false
}

// readAtMost appends what r has to buf, unless it is more than limit bytes.
func readAtMost(r io.Reader, buf []byte, limit int64) ([]byte, error) {
	begin := len(buf)
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		room := buf[len(buf):cap(buf)]
		if left := limit + 1 - int64(len(buf)-begin); limit >= 0 && int64(len(room)) > left {
			room = room[:left]
		}
		n, err := r.Read(room)
		buf = buf[:len(buf)+n]
		switch {
		case limit >= 0 && int64(len(buf)-begin) > limit:
			return buf, fmt.Errorf("%w: a compressed message is longer than %d bytes", gateway.TooBig, limit)
		case err == io.EOF:
			return buf, nil
		case err != nil:
			return buf, fmt.Errorf("%w: inflate: %w", gateway.InvalidData, err)
		}
	}
}
