package broker

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"testing/quick"
	"time"
	"unicode/utf8"

	"tidegate/broker/jsontext"
)

func TestEnvelope_IsDrawnAsDocumented(t *testing.T) {
	m := Message{
		Payload: []byte("hello"), Kind: Text, User: "alice",
		Time: time.UnixMilli(1763845845123), Position: Position{Epoch: "k3x9", Offset: 45},
	}
	want := `TG1 {"kind":"text","user":"alice","time":1763845845123,"epoch":"k3x9","offset":45}` + "\nhello"
	if got := string(AppendEnvelope(nil, m)); got != want {
		t.Errorf("envelope:\n got %s\nwant %s", got, want)
	}
}

func TestEnvelope_WithAMark(t *testing.T) {
	m := sampleMessage()
	const run = "9a3b1c5d7e9f0a2b4c6d8e0f1a3b5c7d9e1f0a2b"
	published := appendUnmarked(nil, m)
	for _, run := range []string{"another", run} {
		setMark(published, markOf(run))
	}
	want := `TG1 {"mark":"` + markOf(run) + `",` + strings.TrimPrefix(string(AppendEnvelope(nil, m)), "TG1 {")
	if got := string(published); got != want || len(markOf(run)) != markLength {
		t.Errorf("envelope:\n got %s\nwant %s", got, want)
	}
	for mark, believed := range map[string]bool{markOf(run): true, "": true, markOf("another"): false} {
		if got, _ := decodePublished(m.Channel, string(published), mark); got.User == m.User != believed || string(got.Payload) != string(m.Payload) {
			t.Errorf("at a process with the mark %q: %+v", mark, got)
		}
	}
}

func TestEnvelope_InfoAndTagsTravelOnOneLine(t *testing.T) {
	m := Message{Channel: "c", Payload: []byte("hello"), Kind: Text, Info: json.RawMessage("{\n\"name\": \"Al\"}"), Elsewhere: json.RawMessage("{\n}"), Tags: json.RawMessage(`{"color":"red"}`)}
	want := `TG1 {"kind":"text","info":{"name":"Al"},"elsewhere":{},"tags":{"color":"red"}}` + "\nhello"
	got := string(AppendEnvelope(nil, m))
	if got != want {
		t.Errorf("envelope:\n got %s\nwant %s", got, want)
	}
	m.Info, m.Elsewhere = json.RawMessage(`{"name":"Al"}`), json.RawMessage(`null`)
	m.Transient = true
	got = string(AppendEnvelope(nil, m))
	if again := DecodeEnvelope("c", got); !reflect.DeepEqual(again, m) {
		t.Errorf("decodes as %+v", again)
	}
}

func TestEnvelope_InfoAndTagsThatAreNone(t *testing.T) {
	for _, header := range []string{
		`{"tags":[]}`, `{"tags":{"a":1}}`, `{"tags":{"a":null}}`, `{"tags":"a"}`, `{"tags":{"a":{}}}`,
		`{"info":` + nested(102) + `}`, `{"info":{"a":` + nested(100) + `}}`, `{"info":{}`, `{"info":{"a":}}`, `{"info":}`,
		`{"elsewhere":` + nested(102) + `}`, `{"elsewhere":}`, `{"elsewhere":nul}`,
	} {
		data := "TG1 " + header + "\nhi"
		if m := DecodeEnvelope("c", data); string(m.Payload) != data || m.Kind != Text {
			t.Errorf("%s: %+v, want a bare text", header, m)
		}
	}
	for _, header := range []string{`{"tags":null}`, `{"info":null}`, `{"tags":null,"info":null}`} {
		if m := DecodeEnvelope("c", "TG1 "+header+"\nhi"); string(m.Payload) != "hi" || m.Info != nil || m.Tags != nil {
			t.Errorf("%s: %+v", header, m)
		}
	}
	if m := DecodeEnvelope("c", "TG1 {\"info\":[1,\"\u00e9\"]}\nhi"); string(m.Info) != `[1,"é"]` {
		t.Errorf("info that is a list: %s", m.Info)
	}
}

func TestEnvelope_RoundTrip(t *testing.T) {
	property := func(payload []byte, kind uint8, event, user, session string, ms int64, offset uint64) bool {
		m := Message{
			Channel: "chat:lobby", Payload: append([]byte{}, payload...), Kind: Kind(kind % 3),
			Event: toUTF8(event), User: toUTF8(user), Session: toUTF8(session), Except: toUTF8(user),
			Position: Position{Epoch: "k3x9", Offset: max(1, offset)},
		}
		if offset%2 == 1 {
			m.Info, m.Elsewhere, m.Tags = quoted(m.Event), quoted(m.Session), json.RawMessage(`{"event":`+string(quoted(m.User))+`}`)
		}
		if ms %= 1 << 50; ms != 0 {
			m.Time = time.UnixMilli(ms)
		}
		envelope := string(AppendEnvelope(nil, m))
		if !m.Kind.bears(payload) {
			m.Kind = KindOf(payload)
		}
		return reflect.DeepEqual(DecodeEnvelope("chat:lobby", envelope), m)
	}
	if err := quick.Check(property, nil); err != nil {
		t.Error(err)
	}
}

// nested is JSON of so many levels.
func nested(levels int) string {
	return strings.Repeat(`[{"[":`, levels/2) + strings.Repeat("[", levels%2) + "1" +
		strings.Repeat("]", levels%2) + strings.Repeat("}]", levels/2)
}

func TestNested_AgreesWithTheParser(t *testing.T) {
	depth := func(text string) (most int) {
		decoder := json.NewDecoder(strings.NewReader(text))
		for depth := 0; ; most = max(most, depth) {
			switch token, err := decoder.Token(); {
			case err != nil:
				return most
			case token == json.Delim('[') || token == json.Delim('{'):
				depth++
			case token == json.Delim(']') || token == json.Delim('}'):
				depth--
			}
		}
	}
	wide := "[" + strings.Repeat(`{"\"[[\\":[]},`, 200) + "1]"
	for _, text := range []string{nested(99), nested(100), nested(101), nested(200), wide, `"` + strings.Repeat("[", 200) + `"`} {
		if got := Nested([]byte(text)); got != (depth(text) > MostNested) {
			t.Errorf("Nested(%.40q…) is %v, the parser says %d levels", text, got, depth(text))
		}
	}
}

func toUTF8(s string) string { return strings.ToValidUTF8(s, "?") }

func TestDecodeEnvelope_Header(t *testing.T) {
	tests := map[string]struct {
		data string
		want Message
	}{
		"no field":            {"TG1 {}\n42", Message{Kind: JSON, Payload: []byte("42")}},
		"no kind":             {"TG1 {\"user\":\"bob\"}\nhi", Message{Kind: Text, Payload: []byte("hi"), User: "bob"}},
		"text 42 stays text":  {"TG1 {\"kind\":\"text\"}\n42", Message{Kind: Text, Payload: []byte("42")}},
		"ASCII stays binary":  {"TG1 {\"kind\":\"binary\"}\nhi", Message{Kind: Binary, Payload: []byte("hi")}},
		"unknown field":       {"TG1 {\"shard\":[1],\"user\":\"bob\"}\nhi", Message{Kind: Text, Payload: []byte("hi"), User: "bob"}},
		"blanks":              {"TG1 { \"user\" : \"bob\" }\nhi", Message{Kind: Text, Payload: []byte("hi"), User: "bob"}},
		"escaped":             {"TG1 {\"user\":\"b\\u006fb\"}\nhi", Message{Kind: Text, Payload: []byte("hi"), User: "bob"}},
		"newlines in payload": {"TG1 {\"kind\":\"text\"}\na\nb\n", Message{Kind: Text, Payload: []byte("a\nb\n")}},
		"empty payload":       {"TG1 {\"kind\":\"binary\"}\n", Message{Kind: Binary, Payload: []byte{}}},
		"no JSON":             {"TG1 {\"kind\":\"json\"}\n1,\"user\":\"admin\"", Message{Kind: Text, Payload: []byte("1,\"user\":\"admin\"")}},
		"JSON, not UTF-8":     {"TG1 {\"kind\":\"json\"}\n\"\xff\"", Message{Kind: Binary, Payload: []byte("\"\xff\"")}},
		"JSON, too deep":      {"TG1 {\"kind\":\"json\"}\n" + nested(101), Message{Kind: Text, Payload: []byte(nested(101))}},
		"JSON, deep":          {"TG1 {\"kind\":\"json\"}\n" + nested(100), Message{Kind: JSON, Payload: []byte(nested(100))}},
		"text, not UTF-8":     {"TG1 {\"kind\":\"text\"}\n\xff", Message{Kind: Binary, Payload: []byte("\xff")}},
		"all but one":         {"TG1 {\"except\":\"s1\"}\nhi", Message{Kind: Text, Payload: []byte("hi"), Except: "s1"}},
		"time":                {"TG1 {\"time\":1}\nhi", Message{Kind: Text, Payload: []byte("hi"), Time: time.UnixMilli(1)}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := DecodeEnvelope("", test.data); !reflect.DeepEqual(got, test.want) {
				t.Errorf("DecodeEnvelope(%q)\n got %+v\nwant %+v", test.data, got, test.want)
			}
		})
	}
}

func TestDecodeEnvelope_Bare(t *testing.T) {
	tests := map[string]Kind{
		`{"text":"hi"}`:                          JSON,
		`42`:                                     JSON,
		` null `:                                 JSON,
		``:                                       Text,
		`hello`:                                  Text,
		"\xff\x00":                               Binary,
		nested(100):                              JSON,
		nested(101):                              Text,
		"\"\xff\"":                               Binary,
		`TG1 `:                                   Text,
		`TG1 {}`:                                 Text,
		"TG1 \n":                                 Text,
		"TG1 []\nhi":                             Text,
		"TG1 null\nhi":                           Text,
		"TG1 {\"user\":1}\nhi":                   Text,
		"TG1 {\"user\":\"bob\",}\nhi":            Text,
		"TG1 {\"kind\":\"xml\"}\nhi":             Text,
		"TG1 {\"epoch\":\"a\"}\nhi":              Text,
		"TG1 {\"offset\":1}\nhi":                 Text,
		"TG1 {\"epoch\":\"A\",\"offset\":1}\nhi": Text,
		"TG1 {\"user\":\"\xff\"}\nhi":            Binary,
		"TG1 {]\n\xff":                           Binary,
	}
	for data, kind := range tests {
		want := Message{Channel: "c", Payload: []byte(data), Kind: kind}
		if got := DecodeEnvelope("c", data); !reflect.DeepEqual(got, want) {
			t.Errorf("DecodeEnvelope(%q)\n got %+v\nwant %+v", data, got, want)
		}
	}
}

func FuzzDecodeEnvelope(f *testing.F) {
	f.Add("hello")
	f.Add(`{"text":"hi"}`)
	f.Add("TG1 {}\n42")
	f.Add("TG1 {\"kind\":\"text\",\"user\":\"alice\",\"time\":1763845845123,\"epoch\":\"k3x9\",\"offset\":45}\nhello")
	f.Add("TG1 {\"user\":\"b\\u006fb\",\"event\":\"\xff\"}\nhi")
	f.Add("TG1 {\"kind\":\"\",\"time\":-1}\n")
	f.Fuzz(func(t *testing.T, data string) {
		m := DecodeEnvelope("c", data)
		if !strings.HasSuffix(data, string(m.Payload)) {
			t.Errorf("%q is not the end of %q", m.Payload, data)
		}
		if !m.Kind.bears(m.Payload) {
			t.Errorf("%q is said to be %v", m.Payload, m.Kind)
		}
		if m.Position.IsZero() != (m.Position.Offset == 0) {
			t.Errorf("half a position: %+v", m.Position)
		}
		if len(m.Payload) == len(data) {
			return // bare
		}
		if again := DecodeEnvelope("c", string(AppendEnvelope(nil, m))); !reflect.DeepEqual(again, m) {
			t.Errorf("%q\n decodes as %+v\n then as %+v", data, m, again)
		}
	})
}

// headerFields are the fields of a header, for encoding/json.
type headerFields struct {
	Mark, Kind, Event, User, Session, Except, Trace, Epoch *string
	Info, Elsewhere                                        json.RawMessage
	Tags                                                   map[string]*string
	Time                                                   *int64
	Offset                                                 *uint64
	Transient                                              *bool
}

// FuzzHeader compares what is read of a header with what encoding/json reads.
func FuzzHeader(f *testing.F) {
	f.Add(`{"kind":"text","user":"alice","time":1763845845123,"epoch":"k3x9","offset":45}`)
	f.Add(`{}`)
	f.Add(`{"user":"a","user":"b"}`)
	f.Add(`{"time":01}`)
	f.Add(`{"transient":true}`)
	f.Add(`{"mark":"0123456789abcdef","kind":"text"}`)
	f.Add(`{"transient":truefalse}`)
	f.Add(`{"info":null,"elsewhere":null,"tags":null}`)
	f.Add(`{"info":{"a":"}","b":["{"]},"tags":{"a":"\\u0062"}}`)
	f.Fuzz(func(t *testing.T, line string) {
		var names map[string]json.RawMessage
		if json.Unmarshal([]byte(line), &names) == nil {
			for name := range names {
				if name != strings.ToLower(name) {
					return // encoding/json reads it in spite of its case
				}
			}
			line = string(must(json.Marshal(names))) // without fields that are there twice
		}
		var h header
		var want headerFields
		is := h.parse(line)
		err := json.Unmarshal([]byte(line), &want)
		for _, value := range want.Tags {
			if value == nil {
				err = errStrangeAnswer
			}
		}
		m, text := h.message, func(s *string) string {
			if s == nil {
				return ""
			}
			return *s
		}
		switch {
		case !is && (err != nil || names == nil || Nested([]byte(line)) || !utf8.ValidString(line)):
		case !is && (text(want.Kind) != "" || text(want.Epoch) != "" || want.Offset != nil): // perhaps with a wrong value
		case !is || err != nil:
			t.Errorf("%q is a header: %v, and to encoding/json: %v", line, is, err)
		case h.mark != text(want.Mark), h.kind != text(want.Kind), m.Event != text(want.Event), m.User != text(want.User), m.Session != text(want.Session),
			m.Except != text(want.Except), m.Trace != text(want.Trace), m.Position.Epoch != text(want.Epoch),
			want.Offset != nil && *want.Offset != m.Position.Offset, want.Transient != nil && *want.Transient != m.Transient,
			want.Time != nil && *want.Time != 0 && *want.Time != m.Time.UnixMilli(), string(m.Elsewhere) != string(want.Elsewhere):
			t.Errorf("%q\nis read as %+v\nwant       %+v", line, h, want)
		}
	})
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// quoted returns a JSON string.
func quoted(s string) []byte { return jsontext.AppendString(nil, s) }

func sampleMessage() Message {
	return Message{
		Channel: "chat:lobby", Payload: bytes.Repeat([]byte("x"), 128), Kind: Text,
		User: "alice", Session: "0f8fad5bd9cb469f", Time: time.UnixMilli(1763845845123),
		Position: Position{Epoch: "gzvk5q0t2p", Offset: 45},
	}
}

func TestEnvelope_Allocations(t *testing.T) {
	m := sampleMessage()
	buffer := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() { buffer = AppendEnvelope(buffer[:0], m) }); n > 0 {
		t.Errorf("AppendEnvelope allocates %v times, want 0", n)
	}
	data := string(buffer)
	if n := testing.AllocsPerRun(100, func() { decodePublished("chat:lobby", data, "") }); n > 2 {
		t.Errorf("decodePublished allocates %v times, want the payload and the epoch", n)
	}
}

func BenchmarkAppendEnvelope(b *testing.B) {
	m := sampleMessage()
	buffer := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buffer = appendUnmarked(buffer[:0], m)
		setMark(buffer, "0123456789abcdef")
	}
}

func BenchmarkDecodeEnvelope(b *testing.B) {
	published, mark := appendUnmarked(nil, sampleMessage()), markOf("a Redis")
	setMark(published, mark)
	data := string(published)
	b.ReportAllocs()
	for b.Loop() {
		decodePublished("chat:lobby", data, mark)
	}
}
