package native_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/native"
)

// FuzzEncode_Strings checks every string in a frame with encoding/json.
func FuzzEncode_Strings(f *testing.F) {
	f.Add("plain", []byte("a\"b\\c\n\x00\x7f\u2028\u20ac\U0001f30a"))
	f.Add("\xff\xed\xa0\x80", []byte("\xf0\x9f\x8c"))
	f.Fuzz(func(t *testing.T, name string, payload []byte) {
		m := broker.Message{Channel: name, Payload: payload, Kind: broker.Text, User: name, Event: name}
		frame, err := native.Protocol{}.Encode(gateway.Message{Message: &m})
		if err != nil {
			t.Fatal(err)
		}
		var got struct{ Channel, Text, User, Event string }
		if err := json.Unmarshal(frame.Data, &got); err != nil || !utf8.Valid(frame.Data) {
			t.Fatalf("%q is not JSON: %v", frame.Data, err)
		}
		want := readable(name)
		if got.Channel != want || got.User != want || got.Event != want || got.Text != readable(string(payload)) {
			t.Errorf("got %q of channel %q and payload %q", frame.Data, name, payload)
		}
	})
}

// readable returns s with U+FFFD for each byte that is not UTF-8.
func readable(s string) string { return string([]rune(s)) }

func TestProtocol_EncodeAllocatesOnce(t *testing.T) {
	payload := []byte(strings.Repeat("x", 5000))
	at := broker.Position{Epoch: "k3x9", Offset: 45}
	for name, event := range map[string]gateway.Event{
		"text":    gateway.Message{Message: &broker.Message{Channel: "chat:lobby", Payload: payload, Kind: broker.Text, Position: at}},
		"binary":  gateway.Message{Message: &broker.Message{Channel: "chat:lobby", Payload: payload, Kind: broker.Binary, Position: at}},
		"answer":  gateway.Published{ID: gateway.ID{Value: 1, Given: true}, Position: at},
		"history": gateway.Messages{Channel: "chat:lobby", Messages: make([]broker.Message, 1000), Position: at},
	} {
		allocs := testing.AllocsPerRun(100, func() { _, _ = native.Protocol{}.Encode(event) })
		if allocs != 1 {
			t.Errorf("%s: %v allocations, want 1", name, allocs)
		}
	}
}

func BenchmarkDecode_Publish(b *testing.B) {
	frame := gateway.Frame{Data: []byte(`{"type":"publish","id":3,"channel":"chat:lobby","data":{"text":"` + strings.Repeat("x", 100) + `"}}`)}
	b.SetBytes(int64(len(frame.Data)))
	for b.Loop() {
		if _, err := (native.Protocol{}).Decode(frame); err != nil {
			b.Fatal(err)
		}
	}
}

func TestEncode_TagsAndInfoOfAMessage(t *testing.T) {
	frame, err := native.Protocol{}.Encode(gateway.Message{Message: &broker.Message{
		Channel: "chat:lobby", Payload: []byte(`1`), Event: "said", User: "alice",
		Tags: json.RawMessage(`{"color":"red"}`), Info: json.RawMessage(`{"name":"Al"}`),
	}})
	const want = `{"type":"message","channel":"chat:lobby","data":1,"event":"said","tags":{"color":"red"},"user":"alice","info":{"name":"Al"}}`
	if err != nil || string(frame.Data) != want {
		t.Errorf("%s, %v\nwant %s", frame.Data, err, want)
	}
}

func BenchmarkEncode_Message(b *testing.B) {
	event := gateway.Message{Message: &broker.Message{
		Channel: "chat:lobby", Payload: []byte(strings.Repeat("7", 128)), User: "alice",
		Position: broker.Position{Epoch: "k3x9", Offset: 45},
	}}
	for b.Loop() {
		if _, err := (native.Protocol{}).Encode(event); err != nil {
			b.Fatal(err)
		}
	}
}

func TestEncode_SuccessOfACommandWithoutAnIDIsNotSaid(t *testing.T) {
	for _, event := range []gateway.Event{
		gateway.Subscribed{Asked: true, Channel: "a"},
		gateway.Subscribed{Asked: true, Channel: "a", Resumed: true, Recovered: true},
		gateway.Unsubscribed{Channel: "a"},
		gateway.Published{Channel: "a"},
	} {
		if frame, err := (native.Protocol{}).Encode(event); frame.Data != nil || err != nil {
			t.Errorf("Encode(%+v) = %q, %v; want no frame", event, frame.Data, err)
		}
	}
	lost := gateway.Subscribed{Asked: true, Channel: "a", Resumed: true}
	if frame, err := (native.Protocol{}).Encode(lost); frame.Data == nil || err != nil {
		t.Errorf("a loss is not said: %v", err)
	}
}
