package broker

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// MostNested is how many levels of arrays and objects the JSON of a message has at
// most: deeper than that, many a reader gives up. What is deeper and comes from Redis
// is text.
const MostNested = 100

// Nested reports whether JSON has more than MostNested levels.
func Nested(text []byte) bool { return NestedIn(text, 0) }

// NestedIn is Nested for a frame that has a payload, with so many levels around it.
func NestedIn(text []byte, around int) bool {
	most := MostNested + around
	if bytes.Count(text, []byte{'['})+bytes.Count(text, []byte{'{'}) <= most {
		return false
	}
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[', c == '{':
			if depth++; depth > most {
				return true
			}
		case c == ']', c == '}':
			depth--
		}
	}
	return false
}

// KindOf says what a payload is that nothing is said of.
func KindOf(payload []byte) Kind {
	switch {
	case isJSON(payload):
		return JSON
	case utf8.Valid(payload):
		return Text
	default:
		return Binary
	}
}

func isJSON(payload []byte) bool {
	return json.Valid(payload) && utf8.Valid(payload) && !Nested(payload)
}

// bears reports whether a payload can be what it is said to be.
func (k Kind) bears(payload []byte) bool {
	switch k {
	case JSON:
		return isJSON(payload)
	case Text:
		return utf8.Valid(payload)
	default:
		return true
	}
}
