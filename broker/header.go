package broker

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"tidegate/broker/jsontext"
)

func appendHeader(dst []byte, m Message) []byte {
	dst = appendFields(append(dst, '{'), m)
	return append(dst, '}')
}

// appendFields appends a header without its braces.
func appendFields(dst []byte, m Message) []byte {
	dst = append(dst, `"kind":"`...)
	dst = append(dst, m.Kind.String()...)
	dst = append(dst, '"')
	dst = appendStringField(dst, "event", m.Event)
	dst = appendStringField(dst, "user", m.User)
	dst = appendStringField(dst, "session", m.Session)
	dst = appendStringField(dst, "except", m.Except)
	dst = appendRawField(dst, "info", m.Info)
	dst = appendRawField(dst, "elsewhere", m.Elsewhere)
	dst = appendRawField(dst, "tags", m.Tags)
	dst = appendStringField(dst, "trace", m.Trace)
	if !m.Time.IsZero() {
		dst = append(dst, `,"time":`...)
		dst = strconv.AppendInt(dst, m.Time.UnixMilli(), 10)
	}
	if !m.Position.IsZero() {
		dst = appendStringField(dst, "epoch", m.Position.Epoch)
		dst = append(dst, `,"offset":`...)
		dst = strconv.AppendUint(dst, m.Position.Offset, 10)
	}
	if m.Transient {
		dst = append(dst, `,"transient":true`...)
	}
	return dst
}

func appendStringField(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return jsontext.AppendString(appendName(dst, name), value)
}

// appendRawField appends a JSON value on one line.
func appendRawField(dst []byte, name string, value json.RawMessage) []byte {
	if len(value) == 0 {
		return dst
	}
	return append(appendName(dst, name), onOneLine(value)...)
}

func appendName(dst []byte, name string) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	return append(dst, '"', ':')
}

func onOneLine(value json.RawMessage) []byte {
	if bytes.IndexByte(value, '\n') < 0 {
		return value
	}
	var line bytes.Buffer
	_ = json.Compact(&line, value) // value is valid JSON
	return line.Bytes()
}

// header is the first line of an envelope; for its fields see envelopeStart.
type header struct {
	message Message // without channel, payload and kind
	mark    string
	kind    string
	wrong   bool // the value of a field is not what it must be
}

// parse reports whether line is a header. It does not allocate unless there are escapes; h
// refers to the memory of line.
func (h *header) parse(line string) bool {
	if !strings.HasPrefix(line, "{") || !utf8.ValidString(line) || !jsontext.Fields(bytesOf(line), h.put) || h.wrong {
		return false
	}
	_, known := parseKind(h.kind)
	at := h.message.Position
	return (known || h.kind == "") && (at == Position{} || isEpoch(at.Epoch) && at.Offset > 0)
}

// put sets a field. One that is null counts as missing.
func (h *header) put(name, value []byte) {
	if string(value) == "null" && string(name) != "elsewhere" {
		return
	}
	value = slices.Clip(value) // the payload is behind it
	m, ok := &h.message, true
	switch string(name) {
	case "mark":
		h.mark, ok = textOf(value)
	case "kind":
		h.kind, ok = textOf(value)
	case "event":
		m.Event, ok = textOf(value)
	case "user":
		m.User, ok = textOf(value)
	case "session":
		m.Session, ok = textOf(value)
	case "except":
		m.Except, ok = textOf(value)
	case "trace":
		m.Trace, ok = textOf(value)
	case "epoch":
		m.Position.Epoch, ok = textOf(value)
	case "offset":
		var err error
		m.Position.Offset, err = strconv.ParseUint(string(value), 10, 64)
		ok = err == nil
	case "time":
		ms, err := strconv.ParseInt(string(value), 10, 64)
		if ok = err == nil; ms != 0 {
			m.Time = time.UnixMilli(ms)
		}
	case "info":
		m.Info = value
	case "elsewhere":
		m.Elsewhere = value
	case "tags":
		m.Tags, ok = value, AreTags(value)
	case "transient":
		m.Transient = string(value) == "true"
		ok = m.Transient || string(value) == "false"
	}
	h.wrong = h.wrong || !ok
}

// textOf returns the value of a JSON string.
func textOf(value []byte) (text string, ok bool) {
	if value[0] != '"' {
		return "", false
	}
	unquoted := jsontext.Unquoted(value)
	return unsafe.String(unsafe.SliceData(unquoted), len(unquoted)), true
}

// AreTags reports whether text is valid for Message.Tags: a JSON object of strings, or nil.
func AreTags(text json.RawMessage) bool {
	strings := true
	return text == nil || jsontext.Fields(text, func(_, value []byte) { strings = strings && value[0] == '"' }) && strings
}

func parseKind(s string) (k Kind, ok bool) {
	for k = JSON; k <= Binary; k++ {
		if s == k.String() {
			return k, true
		}
	}
	return 0, false
}
