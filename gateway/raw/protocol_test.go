package raw_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/raw"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write the golden file anew")

func TestProtocol_SaysEvents(t *testing.T) {
	const file = "testdata/said.golden"
	var got bytes.Buffer
	for _, event := range events() {
		fmt.Fprintf(&got, "%-60s %-50s %s\n", describe(event), said(t, raw.Protocol{}, event), said(t, raw.Protocol{IgnoreGaps: true}, event))
	}
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("got\n%s\nwant, in %s,\n%s", &got, file, want)
	}
}

func events() []gateway.Event {
	id := gateway.ID{Value: 1, Given: true}
	message := func(kind broker.Kind, payload []byte) gateway.Event {
		return gateway.Message{Message: &broker.Message{Channel: "c", Payload: payload, Kind: kind, Event: "e", User: "u"}}
	}
	return []gateway.Event{
		message(broker.JSON, []byte(`{"a":1}`)),
		message(broker.Text, []byte("42")),
		message(broker.Text, nil),
		message(broker.Text, []byte("\xff")),
		message(broker.Binary, []byte("ascii")),
		message(broker.Binary, nil),
		gateway.Gap{Channel: "c"},
		gateway.Subscribed{Channel: "c"},
		gateway.Subscribed{Channel: "c", Resumed: true, Recovered: true},
		gateway.Subscribed{Channel: "c", Resumed: true},
		gateway.Unsubscribed{Channel: "c"},
		gateway.Unsubscribed{Channel: "c", Reason: "moved"},
		gateway.Unsubscribed{Channel: "c", Code: gateway.Forbidden, Reason: "the rules have changed"},
		gateway.Failure{Code: gateway.Forbidden, Message: "may not publish"},
		gateway.Failure{Code: gateway.RateLimited, Message: "slow down"},
		gateway.Failure{Code: gateway.TooLarge, Message: "at most 3 bytes"},
		gateway.Failure{Code: gateway.Unavailable, Message: "not confirmed"},
		gateway.Failure{Code: gateway.Unauthenticated, Message: "who are you"},
		gateway.Failure{Code: gateway.Internal, Message: "internal error"},
		gateway.Welcome{Session: "s"},
		gateway.Published{ID: id},
		gateway.Members{ID: id},
		gateway.Messages{ID: id},
		gateway.Join{Channel: "c", User: "u"},
		gateway.Leave{Channel: "c", User: "u"},
		gateway.Pong{ID: id},
		gateway.Heartbeat{},
		gateway.Reconnect{Within: time.Second},
	}
}

func describe(event gateway.Event) string {
	name := strings.TrimPrefix(fmt.Sprintf("%T", event), "gateway.")
	switch e := event.(type) {
	case gateway.Message:
		return fmt.Sprintf("%s %v %q", name, e.Kind, e.Payload)
	case gateway.Subscribed:
		return fmt.Sprintf("%s resumed:%v recovered:%v", name, e.Resumed, e.Recovered)
	case gateway.Unsubscribed:
		return fmt.Sprintf("%s %s %q", name, e.Code, e.Reason)
	case gateway.Failure:
		return fmt.Sprintf("%s %s %q", name, e.Code, e.Message)
	}
	return name
}

func said(t *testing.T, p raw.Protocol, event gateway.Event) string {
	t.Helper()
	frame, err := p.Encode(event)
	var reason gateway.Reason
	switch {
	case errors.As(err, &reason):
		return fmt.Sprintf("close %d %q", reason.Code, reason.Text)
	case err != nil:
		t.Fatalf("Encode(%#v): %v, which is no gateway.Reason", event, err)
	case frame.Data == nil:
		return "-"
	case frame.Binary:
		return fmt.Sprintf("binary %q", frame.Data)
	}
	return fmt.Sprintf("text %q", frame.Data)
}

func TestProtocol_TextThatIsNotUTF8EndsTheSession(t *testing.T) {
	_, err := raw.Protocol{}.Decode(gateway.Frame{Data: []byte("\xff")})
	if !errors.Is(err, gateway.InvalidData) {
		t.Errorf("error %v, want %v", err, gateway.InvalidData)
	}
}

// FuzzDecode checks that a payload survives a round trip, with its kind, and that the
// command keeps no reference to the frame's memory.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("42"), false)
	f.Add([]byte("ascii"), true)
	f.Add([]byte{}, false)
	f.Add([]byte{0xff}, true)
	f.Fuzz(func(t *testing.T, sent []byte, binary bool) {
		frame := gateway.Frame{Data: bytes.Clone(sent), Binary: binary}
		commands, err := raw.Protocol{}.Decode(frame)
		if !binary && !utf8.Valid(sent) {
			if err == nil {
				t.Fatalf("Decode(%q) passed text that is not UTF-8", sent)
			}
			return
		}
		if err != nil || len(commands) != 1 {
			t.Fatalf("Decode(%q) = %v, %v; want one command", sent, commands, err)
		}
		clear(frame.Data)
		p := commands[0].(gateway.Publish)
		back, err := raw.Protocol{}.Encode(gateway.Message{Message: &broker.Message{Payload: p.Payload, Kind: p.Kind}})
		if err != nil || back.Data == nil || !bytes.Equal(back.Data, sent) || back.Binary != binary {
			t.Errorf("%q, binary %v, came back as %q, binary %v, %v", sent, binary, back.Data, back.Binary, err)
		}
		if p.Channel != "" || p.ID.Given {
			t.Errorf("Decode(%q) = %+v, want neither a channel nor an id", sent, p)
		}
	})
}

func BenchmarkEncode_Message(b *testing.B) {
	event := gateway.Message{Message: &broker.Message{Payload: []byte(strings.Repeat("7", 128))}}
	for b.Loop() {
		if _, err := (raw.Protocol{}).Encode(event); err != nil {
			b.Fatal(err)
		}
	}
}
