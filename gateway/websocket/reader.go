package websocket

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"

	"tidegate/gateway"
	"tidegate/gateway/internal/rates"
)

// reader parses the bytes that a client sends into messages and control frames (RFC 6455,
// section 5). It does no I/O, and takes the bytes in pieces of any size. Between messages
// and frames it holds nothing of its connection, and another connection may use it.
type reader struct {
	// Fixed while it serves a connection.
	limit      int64 // of a message, in bytes on the wire; -1 means no limit
	deflate    bool  // messages may be compressed
	unfinished *unfinished
	payer      *rates.Bucket

	// The current frame.
	header [maxHeader]byte
	have   int  // bytes of the header that have arrived
	opened bool // the header is complete
	frame  frameHeader
	taken  uint64 // bytes of the payload that have been read

	// The current message.
	message byte    // its opcode, with rsv1 if it is compressed; 0 if none has begun
	held    *buffer // the part that has arrived; nil if nothing is held
	size    int64   // sum of the payload lengths of its frames so far
	frames  int64   // number of these frames

	control [maxControl]byte // the payload of a control frame that arrives in pieces
	failed  bool             // the client has failed: skip everything but its close frame
}

// frameHeader is the parsed header of a frame.
type frameHeader struct {
	first  byte // final bit, reserved bits and opcode
	keyed  bool
	key    [4]byte
	length uint64
	padded bool // the length is encoded in more bytes than it needs
}

func (h *frameHeader) opcode() byte  { return h.first & opcodeMask }
func (h *frameHeader) control() bool { return h.first&isControl != 0 }

// item is a message or a control frame of the client.
type item struct {
	kind    byte   // opText, opBinary, opClose, opPing or opPong; 0 if there is none yet
	packed  bool   // the message is compressed
	payload []byte // valid until the next call
}

// next takes one item from the front of data, and returns it with the rest of data, which is
// empty if there is no item yet. It may modify data. An error means that the client has
// violated the protocol or that there is no room for its message; it is returned once. After
// it, the only item that next returns is a close frame, without its payload.
func (r *reader) next(data []byte) (item, []byte, error) {
	r.letGo()
	for {
		if !r.opened {
			rest, complete := r.readHeader(data)
			if !complete {
				return item{}, nil, nil
			}
			data = rest
			if err := r.open(); err != nil {
				r.fail()
				return item{}, data, err
			}
			if r.failed && r.frame.opcode() == opClose {
				return item{kind: opClose}, data, nil
			}
		}
		n := int(min(r.frame.length-r.taken, uint64(len(data))))
		piece := data[:n:n]
		data = data[n:]
		one, complete, err := r.readPayload(piece)
		if err != nil {
			r.fail()
			return item{}, data, err
		}
		if complete || len(data) == 0 && r.opened {
			return one, data, nil
		}
	}
}

// idle reports whether the reader holds nothing of its connection, so that another
// connection may use it.
func (r *reader) idle() bool {
	return r.have == 0 && !r.opened && r.message == 0 && !r.failed
}

// inMessage reports whether a message has begun and not ended.
func (r *reader) inMessage() bool { return r.message != 0 }

// letGo returns the memory of a message that next has returned.
func (r *reader) letGo() {
	if r.message == 0 && r.held != nil {
		r.unfinished.put(r.held)
		r.held = nil
	}
}

// reset clears everything that belongs to the connection.
func (r *reader) reset() {
	if r.held != nil {
		r.unfinished.put(r.held)
	}
	*r = reader{unfinished: r.unfinished}
}

func (r *reader) fail() {
	r.failed, r.message = true, 0
	r.letGo()
}

// readHeader reads from data into the header. It reports whether the header is complete, and
// returns what follows it.
func (r *reader) readHeader(data []byte) (rest []byte, complete bool) {
	before := r.have
	r.have += copy(r.header[before:], data)
	n := r.frame.parse(r.header[:r.have])
	if n == 0 {
		return nil, false
	}
	r.have, r.opened, r.taken = 0, true, 0
	return data[n-before:], true
}

// parse parses a header and returns its length in bytes, or 0 if it is not complete. A
// header with an impossible payload length counts as complete without its key.
func (h *frameHeader) parse(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	h.first, h.keyed, h.length, h.padded = b[0], b[1]&maskBit != 0, uint64(b[1]&^maskBit), false
	n := 2 + lengthBytes(b[1])
	if len(b) < n {
		return 0
	}
	switch n {
	case 4:
		h.length = uint64(binary.BigEndian.Uint16(b[2:]))
		h.padded = h.length <= maxControl
	case 10:
		h.length = binary.BigEndian.Uint64(b[2:])
		h.padded = h.length <= math.MaxUint16
	}
	if !h.keyed || h.length > math.MaxInt64 {
		return n
	}
	if len(b) < n+len(h.key) {
		return 0
	}
	return n + copy(h.key[:], b[n:])
}

// lengthBytes returns how many bytes of extended length follow a header's second byte.
func lengthBytes(second byte) int {
	switch second &^ maskBit {
	case 126:
		return 2
	case 127:
		return 8
	}
	return 0
}

// open begins the frame whose header is complete. It fails if the header is invalid or the
// message is too long.
func (r *reader) open() error {
	if r.failed {
		return nil
	}
	if err := r.check(); err != nil {
		return err
	}
	if r.frame.control() {
		return nil
	}
	if r.message == 0 {
		r.message, r.size, r.frames = r.frame.first&(rsv1|opcodeMask), 0, 0
	}
	r.size += int64(r.frame.length)
	r.frames++ // empty ones, too, must not go on without end
	if r.limit >= 0 && max(r.size, r.frames*minHeader) > r.limit {
		return gateway.TooBig.With(fmt.Sprintf("a message is longer than %d bytes on the wire", r.limit))
	}
	return nil
}

// check returns an error if the frame's header violates the protocol.
func (r *reader) check() error {
	f := &r.frame
	reserved := f.first & (rsv1 | rsv2 | rsv3)
	begins := f.opcode() == opText || f.opcode() == opBinary
	if reserved == rsv1 && r.deflate && begins {
		reserved = 0
	}
	wrong := ""
	switch {
	case !f.keyed:
		wrong = "a frame is not masked"
	case reserved != 0:
		wrong = "a reserved bit is set"
	case f.length > math.MaxInt64:
		wrong = "the length has its highest bit set"
	case !begins && f.opcode() != opContinuation && (f.opcode() < opClose || f.opcode() > opPong):
		wrong = fmt.Sprintf("the opcode %d is reserved", f.opcode())
	case f.control() && f.first&final == 0:
		wrong = "a control frame is fragmented"
	case f.control() && f.length > maxControl:
		wrong = "a control frame is longer than 125 bytes"
	case f.padded:
		wrong = "the length has more bytes than it needs"
	case begins && r.message != 0:
		wrong = "a message begins inside another"
	case f.opcode() == opContinuation && r.message == 0:
		wrong = "a continuation follows no fragment"
	default:
		return nil
	}
	return gateway.ProtocolError.With("protocol error: " + wrong)
}

// readPayload reads a piece of the frame's payload. complete is true if that completes an
// item.
func (r *reader) readPayload(piece []byte) (one item, complete bool, err error) {
	at := r.taken
	r.taken += uint64(len(piece))
	ended := r.taken == r.frame.length
	r.opened = !ended
	if r.failed {
		return item{}, false, nil
	}
	unmask(piece, r.frame.key, int(at&3))
	if r.frame.control() {
		return r.readControl(piece, int(at), ended)
	}
	last := ended && r.frame.first&final != 0
	whole := last && at == 0 && r.size == int64(len(piece))
	if !whole && len(piece) > 0 {
		if r.held, err = r.unfinished.add(r.held, r.payer, piece, r.size); err != nil {
			return item{}, false, err
		}
	}
	if !last {
		return item{}, false, nil
	}
	one = item{kind: r.message & opcodeMask, packed: r.message&rsv1 != 0, payload: piece}
	if !whole {
		one.payload = r.held.contents()
	}
	r.message = 0
	return one, true, nil
}

func (r *reader) readControl(piece []byte, at int, ended bool) (item, bool, error) {
	if at > 0 || !ended {
		copy(r.control[at:], piece)
		piece = r.control[:r.taken]
	}
	if !ended {
		return item{}, false, nil
	}
	return item{kind: r.frame.opcode(), payload: piece}, true, nil
}

// unmask removes the client's mask from a piece of a payload. at is the index of the first
// byte of the piece in the key (RFC 6455, section 5.3).
func unmask(piece []byte, key [4]byte, at int) {
	turned := [4]byte{key[at], key[(at+1)&3], key[(at+2)&3], key[(at+3)&3]}
	word := uint64(binary.LittleEndian.Uint32(turned[:]))
	word |= word << 32
	for len(piece) >= 8 {
		binary.LittleEndian.PutUint64(piece, binary.LittleEndian.Uint64(piece)^word)
		piece = piece[8:]
	}
	for i := range piece {
		piece[i] ^= turned[i&3]
	}
}

// checkClose returns an error if the payload of a close frame is invalid (RFC 6455, sections
// 5.5.1 and 7.4).
func checkClose(payload []byte) error {
	switch {
	case len(payload) == 0:
		return nil
	case len(payload) == 1:
		return gateway.ProtocolError.With("protocol error: a close frame of one byte")
	}
	code := binary.BigEndian.Uint16(payload)
	switch {
	case code >= 3000 && code <= 4999, code >= 1000 && code <= 1003, code >= 1007 && code <= 1014:
	default:
		return gateway.ProtocolError.With(fmt.Sprintf("protocol error: the close code %d is reserved", code))
	}
	if !utf8.Valid(payload[2:]) {
		return gateway.InvalidData.With("the reason of a close frame is not UTF-8")
	}
	return nil
}
