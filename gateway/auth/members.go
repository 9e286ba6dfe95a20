package auth

import (
	"bytes"
	"encoding/json"
	"errors"
)

// members iterates over the fields of a JSON object (RFC 8259) without allocating. The
// input must be valid JSON, as the argument of an UnmarshalJSON is; for other input the
// result is arbitrary.
type members struct {
	name   []byte // of the current field
	value  []byte // of the current field
	broken bool   // the input is not an object
	rest   []byte // unread input
}

func membersOf(data []byte) members {
	rest, found := bytes.CutPrefix(trimSpace(data), []byte("{"))
	return members{rest: rest, broken: !found}
}

// next advances to the next field and reports whether there is one.
func (m *members) next() bool {
	m.rest = bytes.TrimLeft(m.rest, jsonSpace+",")
	if m.broken || bytes.HasPrefix(m.rest, []byte("}")) {
		return false
	}
	m.broken = !m.cutName() || !m.cutValue()
	return !m.broken
}

func (m *members) cutName() (found bool) {
	end := valueEnd(m.rest)
	if end == 0 || m.rest[0] != '"' {
		return false
	}
	if m.name, found = unquoted(m.rest[:end]); !found {
		return false
	}
	m.rest, found = bytes.CutPrefix(trimSpace(m.rest[end:]), []byte(":"))
	return found
}

func (m *members) cutValue() bool {
	m.rest = trimSpace(m.rest)
	end := valueEnd(m.rest)
	m.value, m.rest = m.rest[:end], m.rest[end:]
	return end > 0
}

const jsonSpace = " \t\r\n"

func trimSpace(data []byte) []byte { return bytes.TrimLeft(data, jsonSpace) }

// valueEnd returns the index after the value that data begins with.
func valueEnd(data []byte) int {
	depth := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			if i += stringEnd(data[i:]) - 1; depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth <= 1 {
				return i + depth
			}
			depth--
		case ',', ':', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
	}
	return len(data)
}

// stringEnd returns the index after the string that data begins with.
func stringEnd(data []byte) int {
	for i := 1; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(data)
}

// unquoted returns the value of a JSON string.
func unquoted(value []byte) ([]byte, bool) {
	switch {
	case len(value) < 2 || value[0] != '"':
		return nil, false
	case bytes.IndexByte(value, '\\') < 0:
		return value[1 : len(value)-1], true
	}
	var text string
	err := json.Unmarshal(value, &text)
	return []byte(text), err == nil
}

// decodeString decodes a string. Like encoding/json, it leaves *into unchanged for null.
func decodeString(value []byte, into *string) error {
	if string(value) == "null" {
		return nil
	}
	text, ok := unquoted(value)
	if !ok {
		return errors.New("not a string")
	}
	*into = string(text)
	return nil
}
