package broker

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"unsafe"
)

// This file implements RESP3 for the subscriber connections. In RESP3 a connection that
// subscribes accepts other commands, too, so that HELLO on the same connection can ask who
// is at the other end. The first byte tells an answer to a command from a push, which comes
// unasked or confirms a subscription.
//
//	+text -error :number ,number (number #bool _    one line
//	$n =n !n                                        a string of n bytes
//	*n ~n                                           n elements
//	>n                                              a push of n elements
//	%n |n                                           n pairs

// answer is one answer or push of Redis.
type answer struct {
	kind   byte     // the first byte
	fields []string // all elements that are not arrays, in order; valid until the next read
	kinds  []byte   // their first bytes; valid as long
	flat   bool     // no array is within another
}

// wireReader reads answers, within the limits of redis_bounds.go.
type wireReader struct {
	*bufio.Reader
	fields   []string
	kinds    []byte
	elements int
	nested   bool               // an array of this answer is within another
	known    [knownNames]string // recent values of the first fields of pushes
	awaited  string             // likely to be the next name that is not in known
}

// A push begins with its kind and the name of a channel, which repeat. A string that is
// still in its place of known, which its hash selects, is reused without an allocation.
const (
	knownNames  = 512
	longestName = 320 // of a channel in Redis, under most prefixes
)

func newWireReader(r io.Reader) *wireReader {
	return &wireReader{Reader: bufio.NewReaderSize(r, 32<<10)}
}

// next reads one answer.
func (r *wireReader) next() (answer, error) {
	clear(r.fields)
	r.fields, r.kinds, r.elements, r.nested = r.fields[:0], r.kinds[:0], 0, false
	kind, err := r.element(0)
	return answer{kind: kind, fields: r.fields, kinds: r.kinds, flat: !r.nested}, err
}

// element reads one element and all within it, after the attributes that come before it.
// depth is the number of arrays around it.
func (r *wireReader) element(depth int) (kind byte, err error) {
	for kind = '|'; kind == '|' && err == nil; {
		kind, err = r.part(depth)
	}
	return kind, err
}

// part reads one element, or one attribute.
func (r *wireReader) part(depth int) (kind byte, err error) {
	line, err := r.line()
	if err != nil {
		return 0, err
	}
	kind, text := line[0], line[1:]
	switch kind {
	case '+', '-', ':', ',', '(', '#':
		r.field(kind, string(text))
		return kind, nil
	case '_':
		r.field(kind, "")
		return kind, nil
	}
	n, err := strconv.Atoi(unsafe.String(unsafe.SliceData(text), len(text)))
	switch {
	case err != nil || n < -1:
		return kind, fmt.Errorf("%w: %.40q", errBrokenProtocol, line)
	case n == -1:
		r.field('_', "")
		return kind, nil
	}
	switch kind {
	case '$', '=', '!':
		text, err := r.name(n)
		r.field(kind, text)
		return kind, err
	case '%':
		n = min(n, mostElements+1) * 2
	case '|':
		r.elements++ // bounds how many attributes one element may have
		n = min(n, mostElements+1) * 2
	case '*', '~', '>':
	default:
		return kind, fmt.Errorf("%w: %.40q", errBrokenProtocol, line)
	}
	return kind, r.array(n, depth+1)
}

func (r *wireReader) field(kind byte, text string) {
	r.fields = append(r.fields, text)
	r.kinds = append(r.kinds, kind)
}

func (r *wireReader) array(n, depth int) error {
	if n > mostElements-r.elements || depth > mostNested {
		return fmt.Errorf("%w: an array of %d, %d deep", errBrokenProtocol, n, depth)
	}
	r.elements += n
	r.nested = r.nested || depth > 1
	for range n {
		if _, err := r.element(depth); err != nil {
			return err
		}
	}
	return nil
}

// line reads a line without its end. It is valid until the next read.
func (r *wireReader) line() ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, fmt.Errorf("%w: a line without end", errBrokenProtocol)
	}
	if err != nil {
		return nil, err
	}
	text, ended := bytes.CutSuffix(line, []byte("\r\n"))
	if !ended || len(text) == 0 {
		return nil, fmt.Errorf("%w: %.40q", errBrokenProtocol, line)
	}
	return text, nil
}

// name is like text, but for the first fields of an answer it looks for the string in
// known.
func (r *wireReader) name(n int) (string, error) {
	if len(r.fields) > 1 || n > longestName {
		return r.text(n)
	}
	name, err := r.Peek(n + 2)
	if err != nil || name[n] != '\r' || name[n+1] != '\n' {
		return r.text(n)
	}
	name = name[:n]
	place := &r.awaited
	if *place != string(name) {
		place = &r.known[crc32.ChecksumIEEE(name)%knownNames]
	}
	if *place != string(name) {
		*place = string(name)
	}
	_, err = r.Discard(n + 2)
	return *place, err
}

const readAhead = 64 << 10 // most memory to allocate before the bytes have arrived

// text reads a string of n bytes and its line end. It allocates memory only as bytes
// arrive, not for the announced length.
func (r *wireReader) text(n int) (string, error) {
	if n > mostBulk {
		return "", fmt.Errorf("%w: a string of %d bytes", errBrokenProtocol, n)
	}
	data := make([]byte, 0, min(n+2, readAhead))
	for len(data) < n+2 {
		if len(data) == cap(data) {
			data = append(make([]byte, 0, min(n+2, 2*cap(data))), data...)
		}
		came, err := io.ReadFull(r, data[len(data):cap(data)])
		data = data[:len(data)+came]
		if err != nil {
			return "", err
		}
	}
	if string(data[n:]) != "\r\n" {
		return "", fmt.Errorf("%w: a string is longer than announced", errBrokenProtocol)
	}
	return unsafe.String(unsafe.SliceData(data), n), nil
}

// field returns the value after name among the fields of a map, or "".
func (a answer) field(name string) string {
	for i := 0; i+1 < len(a.fields); i++ {
		if a.fields[i] == name {
			return a.fields[i+1]
		}
	}
	return ""
}

// redisRefusal is an error that Redis returned.
type redisRefusal string

func (e redisRefusal) Error() string { return string(e) }

// RedisError marks the type as a redis.Error of go-redis.
func (redisRefusal) RedisError() {}

// appendCommand appends a command in the protocol of Redis.
func appendCommand(dst []byte, name string, args ...string) []byte {
	dst = append(dst, '*')
	dst = strconv.AppendInt(dst, int64(1+len(args)), 10)
	dst = appendText(append(dst, "\r\n"...), name)
	for _, arg := range args {
		dst = appendText(dst, arg)
	}
	return dst
}

func appendText(dst []byte, text string) []byte {
	dst = append(dst, '$')
	dst = strconv.AppendInt(dst, int64(len(text)), 10)
	dst = append(dst, "\r\n"...)
	dst = append(dst, text...)
	return append(dst, "\r\n"...)
}
