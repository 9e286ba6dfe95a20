package jsontext

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Unquoted returns the value of a valid JSON string. It may share the memory of quoted. Like
// encoding/json, it replaces half of a surrogate pair by U+FFFD.
func Unquoted(quoted []byte) []byte {
	rest := quoted[1 : len(quoted)-1]
	at := bytes.IndexByte(rest, '\\')
	if at < 0 {
		return rest
	}
	text := make([]byte, 0, len(rest))
	for ; at >= 0; at = bytes.IndexByte(rest, '\\') {
		text, rest = appendEscaped(append(text, rest[:at]...), rest[at+1:])
	}
	return append(text, rest...)
}

// appendEscaped appends the character of an escape sequence and returns what follows the
// sequence. escape begins after the backslash.
func appendEscaped(text, escape []byte) (longer, rest []byte) {
	switch c := escape[0]; c {
	case 'b':
		return append(text, '\b'), escape[1:]
	case 'f':
		return append(text, '\f'), escape[1:]
	case 'n':
		return append(text, '\n'), escape[1:]
	case 'r':
		return append(text, '\r'), escape[1:]
	case 't':
		return append(text, '\t'), escape[1:]
	case 'u':
		r, rest := cutRune(escape[1:])
		return utf8.AppendRune(text, r), rest
	default: // a quote, a backslash or a slash
		return append(text, c), escape[1:]
	}
}

// cutRune parses four hexadecimal digits, and the second half of a surrogate pair if it follows.
func cutRune(digits []byte) (r rune, rest []byte) {
	r, rest = hexRune(digits[:4]), digits[4:]
	if !utf16.IsSurrogate(r) {
		return r, rest
	}
	if bytes.HasPrefix(rest, []byte(`\u`)) {
		if pair := utf16.DecodeRune(r, hexRune(rest[2:6])); pair != utf8.RuneError {
			return pair, rest[6:]
		}
	}
	return utf8.RuneError, rest
}

func hexRune(digits []byte) rune {
	n, _ := strconv.ParseUint(string(digits), 16, 32) // the scanner has checked the digits
	return rune(n)
}
