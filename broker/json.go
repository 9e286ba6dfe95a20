package broker

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"tidegate/broker/jsontext"
)

// MostNested is how many levels of arrays and objects the JSON of a message may have: many
// parsers give up on deeper nesting. JSON from Redis that is deeper counts as text.
const MostNested = jsontext.MostNested

// Nested reports whether text has more than MostNested levels.
func Nested(text []byte) bool { return NestedIn(text, 0) }

// NestedIn is like Nested for a frame that contains a payload, with around levels around
// it.
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

// KindOf returns the kind of a payload that comes without one: the first that it can be of.
func KindOf(payload []byte) (k Kind) {
	for k = JSON; !k.bears(payload); k++ {
	}
	return k
}

// bears reports whether a payload can be of kind k.
func (k Kind) bears(payload []byte) bool {
	switch k {
	case JSON:
		return json.Valid(payload) && utf8.Valid(payload) && !Nested(payload)
	case Text:
		return utf8.Valid(payload)
	default:
		return true
	}
}
