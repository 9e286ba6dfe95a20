// Package jsontext reads and appends JSON without reflection, for hot paths; makes JSON compact;
// and decodes lists of bounded length.
package jsontext

import "unicode/utf8"

// AppendString appends s as a JSON string (RFC 8259, section 7). It replaces bytes that are
// not UTF-8 by U+FFFD, because a browser would drop the connection.
func AppendString[S string | []byte](b []byte, s S) []byte {
	b = append(b, '"')
	written := 0
	for i := 0; i < len(s); {
		if isPlain(s[i]) {
			i++
			continue
		}
		size, substitute := substituteAt(s, i)
		if substitute != "" {
			b = append(b, s[written:i]...)
			b = append(b, substitute...)
			written = i + size
		}
		i += size
	}
	b = append(b, s[written:]...)
	return append(b, '"')
}

func isPlain(c byte) bool {
	return c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\'
}

// substituteAt returns the size of the character at s[i] and its replacement, or ""
// if it needs none.
func substituteAt[S string | []byte](s S, i int) (size int, substitute string) {
	switch c := s[i]; {
	case c == '"':
		return 1, `\"`
	case c == '\\':
		return 1, `\\`
	case c == '\n':
		return 1, `\n`
	case c < ' ':
		return 1, controls[6*int(c):][:6]
	}
	// Converting at most four bytes does not allocate.
	r, size := utf8.DecodeRuneInString(string(s[i:min(len(s), i+utf8.UTFMax)]))
	if r == utf8.RuneError && size == 1 {
		return 1, "\ufffd"
	}
	return size, ""
}

const controls = `\u0000\u0001\u0002\u0003\u0004\u0005\u0006\u0007\u0008\u0009\u000a\u000b\u000c\u000d\u000e\u000f` +
	`\u0010\u0011\u0012\u0013\u0014\u0015\u0016\u0017\u0018\u0019\u001a\u001b\u001c\u001d\u001e\u001f`
