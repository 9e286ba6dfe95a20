package native_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/native"
)

func TestProtocol_BinaryFrameEndsTheSession(t *testing.T) {
	_, err := native.Protocol{}.Decode(gateway.Frame{Data: []byte(`{"type":"ping"}`), Binary: true})
	if got := gateway.ReasonOf(err); got.Code != gateway.Unsupported.Code {
		t.Errorf("reason %+v, want code %d", got, gateway.Unsupported.Code)
	}
}

func TestProtocol_TextThatIsNotUTF8EndsTheSession(t *testing.T) {
	_, err := native.Protocol{}.Decode(gateway.Frame{Data: []byte("{\"type\":\"publish\",\"text\":\"\xff\"}")})
	if !errors.Is(err, gateway.InvalidData) {
		t.Errorf("error %v, want %v", err, gateway.InvalidData)
	}
}

// A Conn may reuse the memory of a frame for the next one.
func TestProtocol_CommandsKeepNothingOfTheFrame(t *testing.T) {
	for _, publish := range []string{`"data":{"n":1}`, `"text":"plain"`, `"text":"a\nb"`, `"binary":"AAEC"`} {
		frame := []byte(`{"type":"publish","channel":"chat:lobby","event":"said","tags":{"color":"red"},"key":"k1",` + publish + `}`)
		want, _ := native.Protocol{}.Decode(gateway.Frame{Data: []byte(string(frame))})
		got, _ := native.Protocol{}.Decode(gateway.Frame{Data: frame})
		clear(frame)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("after the frame was overwritten the command is %+v, want %+v", got, want)
		}
	}
}

// A field counts even if the command does not use it.
func TestProtocol_DeepNestingIsBounded(t *testing.T) {
	for _, pattern := range []string{
		`{"type":"publish","id":7,"channel":"c","data":NESTED}`,
		`{"type":"publish","id":7,"channel":"c","data":1,"other":NESTED}`,
		`{"type":"publish","id":7,"channel":"c","data":1,"other":{"in":[NESTED]}}`,
	} {
		around := strings.Count(pattern, "{") + strings.Count(pattern, "[") - 1
		for levels, readable := range map[int]bool{broker.MostNested - around: true, broker.MostNested - around + 1: false, 5_000_000: false} {
			frame := strings.Replace(pattern, "NESTED", strings.Repeat("[", levels)+strings.Repeat("]", levels), 1)
			commands, err := native.Protocol{}.Decode(gateway.Frame{Data: []byte(frame)})
			if err != nil {
				t.Fatal(err)
			}
			refused, isRefused := commands[0].(gateway.Malformed)
			if isRefused == readable {
				t.Errorf("%s with %d levels is %T", pattern, levels, commands[0])
			}
			if isRefused && (refused.ID.Value != 7 || !strings.Contains(refused.Reason, "too deep")) {
				t.Errorf("%s with %d levels: %+v", pattern, levels, refused)
			}
		}
	}
}

// FuzzDecode compares Decode with a simple implementation that uses encoding/json.
func FuzzDecode(f *testing.F) {
	golden, err := os.ReadFile(heardFile)
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(golden)) {
		if frame, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "> "); ok {
			f.Add([]byte(frame))
		}
	}
	f.Add([]byte(`{"type":"publish","channel":"\ud83c\udf0a\ud83c\u0041\udf0a\ud83c","text":"\"\\\/\b\f\n\r\t\u00E9\ud83c\ud83c\udf0a"}`))
	f.Fuzz(func(t *testing.T, frame []byte) {
		commands, err := native.Protocol{}.Decode(gateway.Frame{Data: frame})
		if !utf8.Valid(frame) {
			if err == nil {
				t.Fatalf("Decode(%q) passed what is not UTF-8", frame)
			}
			return
		}
		if err != nil || len(commands) != 1 {
			t.Fatalf("Decode(%q) = %v, %v; want one command", frame, commands, err)
		}
		got, want := commands[0], plainDecode(frame)
		if m, ok := got.(gateway.Malformed); ok {
			if m.Reason == "" {
				t.Errorf("Decode(%q): malformed without a reason", frame)
			}
			got = gateway.Malformed{ID: m.ID}
			if broker.NestedIn(frame, 1) {
				got = gateway.Malformed{} // the id depends on what comes first
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("Decode(%q) =\n%#v\nwant\n%#v", frame, got, want)
		}
	})
}

// plainDecode is like Decode, but not optimized, and its errors have no reason.
func plainDecode(frame []byte) gateway.Command {
	members := map[string]json.RawMessage{}
	if json.Unmarshal(frame, &members) != nil || members == nil || broker.NestedIn(frame, 1) {
		return gateway.Malformed{}
	}
	p := plainReader{members: members, ok: true}
	var id gateway.ID
	if _, id.Given = p.get("id"); id.Given {
		p.read("id", &id.Value)
	}
	if !p.ok {
		id = gateway.ID{}
	}
	if command := p.command(id); p.ok {
		return command
	}
	return gateway.Malformed{ID: id}
}

type plainReader struct {
	members map[string]json.RawMessage
	ok      bool
}

func (p *plainReader) get(name string) (json.RawMessage, bool) {
	value, ok := p.members[name]
	return value, ok && (name == "data" || string(value) != "null")
}

func (p *plainReader) read(name string, target any) {
	if value, ok := p.get(name); ok && json.Unmarshal(value, target) != nil {
		p.ok = false
	}
}

func (p *plainReader) str(name string) (s string) {
	p.read(name, &s)
	return s
}

func (p *plainReader) command(id gateway.ID) gateway.Command {
	switch p.str("type") {
	case "auth":
		return gateway.Auth{ID: id, Token: p.str("token")}
	case "subscribe":
		echo := true
		p.read("echo", &echo)
		return gateway.Subscribe{ID: id, Channel: p.str("channel"), Cursor: p.str("cursor"), Recent: p.count("recent"), NoEcho: !echo}
	case "unsubscribe":
		return gateway.Unsubscribe{ID: id, Channel: p.str("channel")}
	case "publish":
		payload, kind := p.payload()
		return gateway.Publish{ID: id, Channel: p.str("channel"), Payload: payload, Kind: kind, Event: p.str("event"), Tags: p.tags(), Key: p.str("key"), Transient: p.transient()}
	case "presence":
		return gateway.Presence{ID: id, Channel: p.str("channel")}
	case "history":
		return gateway.History{ID: id, Channel: p.str("channel"), Cursor: p.str("cursor"), Limit: p.count("limit")}
	case "ping":
		return gateway.Ping{ID: id}
	}
	p.ok = false
	return nil
}

func (p *plainReader) transient() (transient bool) {
	p.read("transient", &transient)
	return transient
}

func (p *plainReader) tags() json.RawMessage {
	value, _ := p.get("tags")
	return value
}

func (p *plainReader) count(name string) int {
	value, ok := p.get(name)
	if !ok {
		return 0
	}
	n, err := strconv.ParseInt(string(value), 10, 32)
	p.ok = p.ok && err == nil && n >= 0
	return int(n)
}

func (p *plainReader) payload() ([]byte, broker.Kind) {
	data, hasData := p.get("data")
	_, hasText := p.get("text")
	_, hasBinary := p.get("binary")
	switch {
	case hasData && !hasText && !hasBinary:
		return data, broker.JSON
	case hasText && !hasData && !hasBinary:
		return []byte(p.str("text")), broker.Text
	case hasBinary && !hasData && !hasText:
		payload, err := base64.StdEncoding.DecodeString(p.str("binary"))
		p.ok = p.ok && err == nil
		return payload, broker.Binary
	}
	p.ok = false
	return nil, 0
}
