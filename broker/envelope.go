package broker

import (
	"bytes"
	"strings"
	"time"
	"unique"
	"unsafe"
)

// What travels through Redis is either a payload and nothing else (bare), or an
// envelope: one line of header, then the payload's own bytes.
//
//	TG1 {"kind":"text","user":"alice","time":1763845845123,"epoch":"k3x9","offset":45}\n
//	hello
//
// The header is one compact JSON object. All fields may be missing, unknown ones
// are ignored:
//
//	mark     of the Redis process at which it was published; see markOf
//	kind     "json", "text" or "binary"; missing, or not borne out by the payload:
//	         what a bare payload would be
//	event    the name beside the data
//	user     who published
//	session  the session that published
//	except   the session that it is not for
//	info     what is known of the user: any JSON
//	elsewhere  what is known of the user on other channels, where info is of this one
//	         alone: any JSON, null if nothing is
//	tags     names beside the data: an object of strings
//	trace    the traceparent (W3C Trace Context) of what has led to it
//	time     when a node took it, in Unix milliseconds
//	epoch    the position in the channel's history: its epoch
//	offset   and its offset, always together
//	transient  true: it is meant to be in no history
//
// A backend that subscribes strips one line. A bare payload is JSON if it
// parses, and is not nested deeper than MostNested, else text if it is UTF-8, else
// binary; so is one that begins with "TG1 " and is no envelope. What is to travel bare
// and begins so gets an envelope all the same: no payload can pass for one.
const envelopeStart = "TG1 "

// AppendEnvelope appends m as it travels through Redis to dst.
func AppendEnvelope(dst []byte, m Message) []byte {
	dst = append(dst, envelopeStart...)
	dst = appendHeader(dst, m)
	dst = append(dst, '\n')
	return append(dst, m.Payload...)
}

// DecodeEnvelope reads what stands in Redis for a message of a channel, enveloped or
// bare. It cannot fail: what is no envelope is a payload. The message has its memory in
// data, but for the position.
func DecodeEnvelope(channel, data string) Message {
	m, _ := decodeEnvelope(channel, data)
	return m
}

// decodeEnvelope returns the mark, too; "" without one.
func decodeEnvelope(channel, data string) (m Message, mark string) {
	line, payload, ok := cutEnvelope(data)
	if !ok {
		return decodeBare(channel, data), ""
	}
	h, ok := parseHeader(line)
	if !ok {
		return decodeBare(channel, data), ""
	}
	m = Message{Channel: channel, Payload: bytesOf(payload), Event: h.Event, User: h.User, Session: h.Session, Except: h.Except, Trace: h.Trace, Transient: h.Transient}
	if m.Kind, ok = parseKind(h.Kind); !ok || !m.Kind.bears(m.Payload) {
		m.Kind = KindOf(m.Payload)
	}
	m.Info, m.Elsewhere, m.Tags = h.Info.message(), h.Elsewhere.orNull(), h.Tags.message()
	if h.Time != 0 {
		m.Time = time.UnixMilli(h.Time)
	}
	// A position outlives its message: it must not hold on to data. One epoch has many.
	m.Position = Position{Epoch: unique.Make(h.Epoch).Value(), Offset: h.Offset}
	return m, h.Mark
}

// bytesOf returns the bytes of a string, which must not be changed: payloads never are.
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

// Bare returns of m what travels bare: the payload, and its kind.
func (m Message) Bare() Message {
	return Message{Channel: m.Channel, Payload: m.Payload, Kind: m.Kind}
}
