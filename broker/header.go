package broker

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// header is the first line of an envelope; for its fields see envelopeStart.
type header struct {
	Mark      string `json:"mark"`
	Kind      string `json:"kind"`
	Event     string `json:"event"`
	User      string `json:"user"`
	Session   string `json:"session"`
	Except    string `json:"except"`
	Info      raw    `json:"info"`
	Elsewhere raw    `json:"elsewhere"`
	Tags      raw    `json:"tags"`
	Trace     string `json:"trace"`
	Time      int64  `json:"time"`
	Epoch     string `json:"epoch"`
	Offset    uint64 `json:"offset"`
	Transient bool   `json:"transient"`
}

// raw is JSON text of a header; "" means that the field is missing.
type raw string

// UnmarshalJSON stores text as it is. It never fails.
func (r *raw) UnmarshalJSON(text []byte) error {
	*r = raw(text)
	return nil
}

// message is like orNull, but returns nil for null, too.
func (r raw) message() json.RawMessage {
	if r == "null" {
		return nil
	}
	return r.orNull()
}

// orNull returns the JSON, which may be null, or nil if the field is missing.
func (r raw) orNull() json.RawMessage {
	if r == "" {
		return nil
	}
	return json.RawMessage(r)
}

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
	dst = appendName(dst, name)
	if isPlain(value) {
		dst = append(dst, '"')
		dst = append(dst, value...)
		return append(dst, '"')
	}
	return append(dst, quoted(value)...)
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

// isPlain reports whether s between quotes is the JSON encoding of s.
func isPlain(s string) bool {
	ascii := true
	for i := range len(s) {
		if s[i] < ' ' || s[i] == '"' || s[i] == '\\' {
			return false
		}
		ascii = ascii && s[i] < utf8.RuneSelf
	}
	return ascii || utf8.ValidString(s)
}

func quoted(s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err) // cannot happen: every string can be encoded
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'})
}

// parseHeader parses a header. It does not allocate for headers that gateways and the
// append script write.
func parseHeader(line string) (header, bool) {
	var h header
	if h.scan(line) {
		return h, h.valid()
	}
	return unmarshalHeader(line)
}

func unmarshalHeader(line string) (header, bool) {
	var h header
	if !strings.HasPrefix(line, "{") || !utf8.ValidString(line) || json.Unmarshal([]byte(line), &h) != nil {
		return h, false
	}
	return h, h.valid()
}

func (h *header) valid() bool {
	_, known := parseKind(h.Kind)
	none := h.Epoch == "" && h.Offset == 0
	return (known || h.Kind == "") && (none || isEpoch(h.Epoch) && h.Offset > 0) &&
		!Nested([]byte(h.Info)) && !Nested([]byte(h.Elsewhere)) && AreTags(h.Tags.message())
}

// AreTags reports whether text is valid for Message.Tags: a JSON object of strings, or nil.
func AreTags(text json.RawMessage) bool {
	if text == nil {
		return true
	}
	var tags map[string]*string
	if json.Unmarshal(text, &tags) != nil || tags == nil {
		return false
	}
	for _, value := range tags {
		if value == nil {
			return false
		}
	}
	return true
}

func parseKind(s string) (k Kind, ok bool) {
	switch s {
	case "json":
		return JSON, true
	case "text":
		return Text, true
	case "binary":
		return Binary, true
	default:
		return 0, false
	}
}

// scan parses a header that has only known fields, no escapes and no whitespace. It returns
// false for any other header, and for what is no header.
func (h *header) scan(line string) bool {
	rest, ok := strings.CutPrefix(line, "{")
	if rest == "}" {
		return ok
	}
	for ok {
		if rest, ok = h.scanField(rest); !ok || rest == "}" {
			return ok
		}
		rest, ok = strings.CutPrefix(rest, ",")
	}
	return false
}

func (h *header) scanField(s string) (rest string, ok bool) {
	name, rest, ok := scanString(s)
	if !ok {
		return "", false
	}
	if rest, ok = strings.CutPrefix(rest, ":"); !ok {
		return "", false
	}
	switch name {
	case "mark":
		h.Mark, rest, ok = scanString(rest)
	case "kind":
		h.Kind, rest, ok = scanString(rest)
	case "event":
		h.Event, rest, ok = scanString(rest)
	case "user":
		h.User, rest, ok = scanString(rest)
	case "session":
		h.Session, rest, ok = scanString(rest)
	case "except":
		h.Except, rest, ok = scanString(rest)
	case "epoch":
		h.Epoch, rest, ok = scanString(rest)
	case "info":
		h.Info, rest, ok = scanRaw(rest)
	case "elsewhere":
		h.Elsewhere, rest, ok = scanRaw(rest)
	case "tags":
		h.Tags, rest, ok = scanRaw(rest)
	case "trace":
		h.Trace, rest, ok = scanString(rest)
	case "transient":
		h.Transient = true
		rest, ok = strings.CutPrefix(rest, "true")
	case "offset":
		h.Offset, rest, ok = scanNumber(rest)
	case "time":
		var milliseconds uint64
		milliseconds, rest, ok = scanNumber(rest)
		h.Time = int64(milliseconds)
		ok = ok && milliseconds <= math.MaxInt64
	default:
		ok = false
	}
	return rest, ok
}

func scanString(s string) (value, rest string, ok bool) {
	s, ok = strings.CutPrefix(s, `"`)
	if !ok {
		return "", "", false
	}
	value, rest, ok = strings.Cut(s, `"`)
	return value, rest, ok && isPlain(value)
}

// scanRaw scans a JSON object or null.
func scanRaw(s string) (value raw, rest string, ok bool) {
	if rest, ok := strings.CutPrefix(s, "null"); ok {
		return "null", rest, true
	}
	if !strings.HasPrefix(s, "{") {
		return "", "", false
	}
	end := objectEnd(s)
	value, rest = raw(s[:end]), s[end:]
	return value, rest, utf8.ValidString(s[:end]) && json.Valid([]byte(value))
}

// objectEnd returns the index behind the object that s begins with.
func objectEnd(s string) int {
	depth, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			depth++
		case c == '}':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(s)
}

func scanNumber(s string) (value uint64, rest string, ok bool) {
	digits := 0
	for digits < len(s) && '0' <= s[digits] && s[digits] <= '9' {
		digits++
	}
	if digits > 1 && s[0] == '0' {
		return 0, "", false
	}
	value, err := strconv.ParseUint(s[:digits], 10, 64)
	return value, s[digits:], err == nil
}
