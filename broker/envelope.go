package broker

import (
	"bytes"
	"strings"
	"unique"
	"unsafe"
)

// A message in Redis is either a payload and nothing else (bare), or an envelope: one line
// of header, then the bytes of the payload.
//
//	TG1 {"kind":"text","user":"alice","time":1763845845123,"epoch":"k3x9","offset":45}\n
//	hello
//
// The header is one compact JSON object. Any field may be missing, and unknown fields are
// ignored:
//
//	mark     of the Redis process at which the message was published; see markOf
//	kind     "json", "text" or "binary"; if it is missing or does not fit the payload,
//	         the kind that a bare payload would have
//	event    name sent with the data
//	user     the publisher
//	session  the session that published
//	except   the session that must not receive it
//	info     what is known of the user: any JSON
//	elsewhere  what is known of the user on other channels if info is for this one
//	         alone: any JSON, null if nothing is
//	tags     an object of strings sent with the data
//	trace    the traceparent (W3C Trace Context) of what caused the message
//	time     when a node took it, in Unix milliseconds
//	epoch    the epoch of the position in the channel's history
//	offset   the offset of it; both or neither
//	transient  true if it is meant to be in no history
//
// A backend that subscribes strips one line. A bare payload is JSON if it parses and is not
// nested deeper than MostNested, else text if it is UTF-8, else binary. The same holds for
// data that begins with "TG1 " but is no envelope. A payload that is to travel bare but
// begins with "TG1 " gets an envelope, so that no payload can pass for one.
const envelopeStart = "TG1 "

// AppendEnvelope appends the envelope of m to dst.
func AppendEnvelope(dst []byte, m Message) []byte {
	dst = append(dst, envelopeStart...)
	dst = appendHeader(dst, m)
	dst = append(dst, '\n')
	return append(dst, m.Payload...)
}

// DecodeEnvelope decodes data of a channel in Redis, be it an envelope or bare. It cannot
// fail: what is no envelope is a payload. The message refers to the memory of data, except
// for its position.
func DecodeEnvelope(channel, data string) Message {
	m, _ := decodeEnvelope(channel, data)
	return m
}

// decodeEnvelope also returns the mark, or "" if there is none.
func decodeEnvelope(channel, data string) (m Message, mark string) {
	var h header
	line, payload, ok := cutEnvelope(data)
	if !ok || !h.parse(line) {
		return decodeBare(channel, data), ""
	}
	m = h.message
	m.Channel, m.Payload = channel, bytesOf(payload)
	if m.Kind, ok = parseKind(h.kind); !ok || !m.Kind.bears(m.Payload) {
		m.Kind = KindOf(m.Payload)
	}
	// A position outlives its message, so it must not keep data alive. Epochs repeat.
	m.Position.Epoch = unique.Make(m.Position.Epoch).Value()
	return m, h.mark
}

// bytesOf returns the bytes of a string without a copy. They must not be changed; payloads
// never are.
func bytesOf(text string) []byte {
	if text == "" {
		return []byte{}
	}
	return unsafe.Slice(unsafe.StringData(text), len(text))
}

func cutEnvelope(data string) (header, payload string, ok bool) {
	if !strings.HasPrefix(data, envelopeStart) {
		return "", "", false
	}
	return strings.Cut(data[len(envelopeStart):], "\n")
}

func decodeBare(channel, data string) Message {
	payload := bytesOf(data)
	return Message{Channel: channel, Payload: payload, Kind: KindOf(payload)}
}

// passesForEnvelope reports whether a payload must not travel bare.
func passesForEnvelope(payload []byte) bool {
	return bytes.HasPrefix(payload, []byte(envelopeStart))
}

// Bare returns a message with only what travels bare: the payload and its kind, besides the
// channel.
func (m Message) Bare() Message {
	return Message{Channel: m.Channel, Payload: m.Payload, Kind: m.Kind}
}
