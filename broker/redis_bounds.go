package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// Redis announces the length of a string or an array before it sends it, and a reader may
// allocate memory for all of it at once. These are the limits for one answer; a connection
// on which Redis announces more is closed.
const (
	mostBulk     = 64 << 20 // bytes of one string
	mostElements = 1 << 20  // of all arrays of one answer
	mostNested   = 8        // levels of nested arrays
	mostLine     = 64 << 10 // bytes of a line: a status, an error, a number or a length
)

// bounded dials a connection whose reads fail if Redis breaks its protocol, RESP2, or
// exceeds the limits.
func (dial dialer) bounded(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if inner, ok := conn.(syscallConn); ok {
		return &boundedSyscallConn{boundedConn{Conn: conn}, inner}, nil
	}
	return &boundedConn{Conn: conn}, nil
}

type syscallConn interface {
	net.Conn
	syscall.Conn
}

type boundedConn struct {
	net.Conn
	answers answerBounds // used only by the reader
}

func (c *boundedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if broken := c.answers.pass(p[:n]); broken != nil {
		return 0, broken
	}
	return n, err
}

// boundedSyscallConn is a boundedConn that gives go-redis access to its socket.
type boundedSyscallConn struct {
	boundedConn
	syscallConn
}

func (c *boundedSyscallConn) Read(p []byte) (int, error) { return c.boundedConn.Read(p) }

var errBrokenProtocol = errors.New("redis breaks its protocol")

// answerBounds tracks a stream of answers.
type answerBounds struct {
	body     int    // bytes of a string, with its line end, still to come
	line     []byte // beginning of an incomplete line
	open     []int  // elements still to come in each of the nested arrays; the innermost last
	elements int    // announced by all arrays of this answer
	failed   error
}

// pass checks the next bytes of the stream. It returns an error if they must not be read,
// and from then on always.
func (a *answerBounds) pass(p []byte) error {
	for a.failed == nil && len(p) > 0 {
		if a.body > 0 {
			n := min(a.body, len(p))
			a.body -= n
			p = p[n:]
			if a.body == 0 {
				a.endElement()
			}
			continue
		}
		end := bytes.IndexByte(p, '\n') + 1
		if end == 0 {
			a.failed = a.keepLine(p)
			break
		}
		a.failed = a.passLine(p[:end])
		p = p[end:]
	}
	return a.failed
}

func (a *answerBounds) keepLine(part []byte) error {
	if len(a.line)+len(part) > mostLine {
		return fmt.Errorf("%w: a line of more than %d bytes", errBrokenProtocol, mostLine)
	}
	a.line = append(a.line, part...)
	return nil
}

// passLine checks a complete line, or the end of one that keepLine has begun.
func (a *answerBounds) passLine(line []byte) error {
	if len(a.line)+len(line) > mostLine {
		return a.keepLine(line)
	}
	if len(a.line) > 0 {
		line = append(a.line, line...)
		a.line = line[:0]
	}
	text, ended := bytes.CutSuffix(line, []byte("\r\n"))
	if !ended || len(text) == 0 {
		return fmt.Errorf("%w: %.40q", errBrokenProtocol, line)
	}
	switch text[0] {
	case '+', '-', ':':
		a.endElement()
		return nil
	}
	n, err := strconv.Atoi(string(text[1:]))
	switch {
	case err != nil || n < -1:
	case n == -1 && (text[0] == '$' || text[0] == '*'):
		a.endElement()
		return nil
	case text[0] == '$' && n <= mostBulk:
		a.body = n + len("\r\n")
		return nil
	case text[0] == '*' && n == 0:
		a.endElement()
		return nil
	case text[0] == '*' && n <= mostElements-a.elements && len(a.open) < mostNested:
		a.elements += n
		a.open = append(a.open, n)
		return nil
	}
	return fmt.Errorf("%w, or is beyond its bounds: %.40q", errBrokenProtocol, line)
}

// endElement counts one element as complete, and with it all arrays whose last element it
// is.
func (a *answerBounds) endElement() {
	for inner := len(a.open) - 1; inner >= 0; inner-- {
		if a.open[inner]--; a.open[inner] > 0 {
			return
		}
		a.open = a.open[:inner]
	}
	a.elements = 0
}
