package transport

// marks takes the mark of compression (RSV1; RFC 7692, section 6) off the frames
// of a client that may send compressed messages, on their way to the library,
// and remembers it for the message. The library could inflate by itself, but what
// follows the end of a stream would stay in its buffers for the next message,
// which may be another connection's. On frames that must not have the mark it is
// left for the library to refuse.
//
// It belongs to the reading goroutine. Between messages, where nothing has been
// read ahead, it is its zero value.
type marks struct {
	begun   bool   // a frame's header has
	header  uint8  // bytes that are to come of its third part: length and key
	length  uint8  // bytes of them that are the length
	payload uint64 // bytes that are to come; or the length, as far as it has been read

	// The library reads a few frames ahead: of messages that have begun for marks
	// and not for the library, the marks.
	ahead   uint8
	waiting uint32 // the first is the lowest bit
}

// pass looks at bytes that the library is about to be given.
func (m *marks) pass(p []byte) {
	for len(p) > 0 {
		if !m.begun && m.payload > 0 {
			n := min(m.payload, uint64(len(p)))
			m.payload -= n
			p = p[n:]
			continue
		}
		m.passHeader(&p[0])
		p = p[1:]
	}
}

func (m *marks) passHeader(b *byte) {
	switch {
	case !m.begun:
		m.begun = true
		if opcode := *b & opcodeMask; opcode == opText || opcode == opBinary {
			m.takeOff(b)
		}
	case m.header == 0:
		m.passLength(*b)
	default:
		if m.length > 0 {
			m.length--
			m.payload = m.payload<<8 | uint64(*b)
		}
		m.header--
		m.begun = m.header > 0
	}
}

// passLength takes a header's second byte.
func (m *marks) passLength(b byte) {
	switch n := b &^ masking; n {
	case 126:
		m.length = 2
	case 127:
		m.length = 8
	default:
		m.payload = uint64(n)
	}
	m.header = m.length
	if b&masking != 0 {
		m.header += 4
	}
	m.begun = m.header > 0
}

func (m *marks) takeOff(b *byte) {
	if *b&rsv1 != 0 {
		m.waiting |= 1 << m.ahead
		*b &^= rsv1
	}
	m.ahead++
}

// next reports whether the message that begins for the library was marked.
func (m *marks) next() bool {
	if m.ahead == 0 {
		return false // of a connection without compression
	}
	marked := m.waiting&1 != 0
	m.waiting >>= 1
	m.ahead--
	return marked
}
