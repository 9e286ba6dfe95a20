package native_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/native"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	heardFile = "testdata/heard.golden"
	saidFile  = "testdata/said.golden"
)

// TestProtocol_HearsCommands decodes the frames of heard.golden, which are the lines that
// begin with "> ", and compares each result with the line below it.
func TestProtocol_HearsCommands(t *testing.T) {
	golden := readGolden(t, heardFile)
	var got strings.Builder
	for line := range strings.Lines(golden) {
		switch frame, isFrame := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "> "); {
		case isFrame:
			fmt.Fprintf(&got, "> %s\n  %s\n", frame, meaning(t, frame))
		case !strings.HasPrefix(line, "  "):
			got.WriteString(line)
		}
	}
	compareGolden(t, heardFile, golden, got.String())
}

func meaning(t *testing.T, frame string) string {
	t.Helper()
	commands, err := native.Protocol{}.Decode(gateway.Frame{Data: []byte(frame)})
	if err != nil || len(commands) != 1 {
		t.Fatalf("Decode(%s) = %v, %v; want one command", frame, commands, err)
	}
	name := strings.TrimPrefix(fmt.Sprintf("%T", commands[0]), "gateway.")
	if p, ok := commands[0].(gateway.Publish); ok {
		return fmt.Sprintf("%s{ID:%v Channel:%q %v:%q Event:%q Key:%q}", name, p.ID, p.Channel, p.Kind, p.Payload, p.Event, p.Key)
	}
	return name + fmt.Sprintf("%+v", commands[0])
}

func TestProtocol_SaysEvents(t *testing.T) {
	var got strings.Builder
	for _, event := range everyEvent() {
		frame, err := native.Protocol{}.Encode(event)
		if err != nil || frame.Binary {
			t.Fatalf("Encode(%#v) = %v, %v; want a text frame", event, frame, err)
		}
		fmt.Fprintf(&got, "%s\n", frame.Data)
	}
	compareGolden(t, saidFile, readGolden(t, saidFile), got.String())
}

// everyEvent returns each kind of event twice: with all fields and with as few as possible.
func everyEvent() []gateway.Event {
	id := gateway.ID{Value: 7, Given: true}
	at := broker.Position{Epoch: "k3x9", Offset: 45}
	full := broker.Message{
		Channel: "chat:lobby", Payload: []byte(`{"text":"hi"}`), Event: "said", User: "alice",
		Session: "not told", Key: "not told", Time: time.UnixMilli(1767225600123), Position: at,
	}
	text := broker.Message{Channel: "chat:lobby", Payload: []byte("line \"1\"\n\tline\\2\r\x00\x1f\u2028 \u00e9\U0001f30a"), Kind: broker.Text}
	binary := broker.Message{Channel: "chat:lobby", Payload: []byte("\xff\x00\xfe"), Kind: broker.Binary}
	return []gateway.Event{
		gateway.Welcome{Session: "s1", Node: "n1"},
		gateway.Welcome{ID: id, Session: "s1", User: "alice", Node: "n1", Ping: 25 * time.Second},
		gateway.Welcome{Session: "s1", Node: "n1", Ping: 250 * time.Millisecond},
		gateway.Welcome{Session: "s1", Node: "n1", Data: json.RawMessage(`{"hello":"there"}`)},
		gateway.Subscribed{Channel: "chat:lobby"},
		gateway.Subscribed{ID: id, Channel: "chat:lobby", Position: at, After: at},
		gateway.Subscribed{ID: id, Channel: "chat:lobby", Data: json.RawMessage(`{"topic":"cats"}`)},
		gateway.Subscribed{ID: id, Channel: "chat:lobby", Position: at, Resumed: true, Recovered: true},
		gateway.Subscribed{ID: id, Channel: "chat:lobby", Position: at, Resumed: true},
		gateway.Unsubscribed{ID: id, Channel: "chat:lobby"},
		gateway.Unsubscribed{Channel: "chat:lobby", Code: gateway.Forbidden, Reason: "the rules have changed"},
		gateway.Published{ID: id, Channel: "chat:lobby"},
		gateway.Published{ID: gateway.ID{Given: true}, Channel: "chat:lobby", Position: at},
		gateway.Message{Message: &full},
		gateway.Message{Message: &broker.Message{Channel: "chat:lobby", Payload: []byte("42")}},
		gateway.Message{Message: &text},
		gateway.Message{Message: &binary},
		gateway.Message{Message: &broker.Message{Channel: "chat:lobby", Kind: broker.Text}},
		gateway.Members{ID: id, Channel: "chat:lobby"},
		gateway.Members{ID: id, Channel: "chat:lobby", Members: []gateway.Member{
			{User: "alice", Info: []byte(`{"name":"Alice"}`), Sessions: 2}, {User: "bob", Sessions: 1},
		}},
		gateway.Members{ID: id, Channel: "chat:lobby", Members: []gateway.Member{{User: "bob", Session: "s7", Sessions: 1}}},
		gateway.Messages{ID: id, Channel: "chat:lobby"},
		gateway.Messages{ID: id, Channel: "chat:lobby", Messages: []broker.Message{full, text}, Position: at, Lost: true},
		gateway.Join{Channel: "chat:lobby", User: "bob"},
		gateway.Join{Channel: "chat:lobby", User: "bob", Info: []byte(`{}`)},
		gateway.Join{Channel: "chat:lobby", User: "bob", Session: "s7"},
		gateway.Leave{Channel: "chat:lobby", User: "bob"},
		gateway.Leave{Channel: "chat:lobby", User: "bob", Session: "s7"},
		gateway.PresenceChanged{Channel: "chat:lobby"},
		gateway.Gap{Channel: "chat:lobby"},
		gateway.Failure{ID: id, Channel: "chat:lobby", Code: gateway.Forbidden, Message: "no"},
		gateway.Failure{Channel: "chat:lobby", Code: gateway.Forbidden, Message: "no"},
		gateway.Failure{Code: gateway.BadRequest, Message: "not UTF-8: \xff\xc0\xaf"},
		gateway.Pong{},
		gateway.Pong{ID: gateway.ID{Value: -1, Given: true}},
		gateway.Reconnect{Within: 8500 * time.Millisecond},
		gateway.Reconnect{},
	}
}

// The tables of the package's documentation name all fields.
func TestProtocol_TablesAreComplete(t *testing.T) {
	commands, events, _ := strings.Cut(readGolden(t, "protocol.go"), "Events from the gateway.")
	for _, field := range regexp.MustCompile(`(?m)^	case "(\w+)":$`).FindAllStringSubmatch(readGolden(t, "fields.go"), -1) {
		if !regexp.MustCompile(`\b` + field[1] + `\b`).MatchString(commands) {
			t.Errorf("the table of commands lacks %s", field[1])
		}
	}
	rows := make(map[string]string)
	for _, row := range regexp.MustCompile(`(?m)^//\t(\w+) +(.*(?:\n//\t .*)*)`).FindAllStringSubmatch(events, -1) {
		rows[row[1]] = row[2]
	}
	for _, event := range everyEvent() {
		frame, _ := native.Protocol{}.Encode(event)
		var object map[string]json.RawMessage
		_ = json.Unmarshal(frame.Data, &object)
		kind := strings.Trim(string(object["type"]), `"`)
		for field := range object {
			if field != "type" && !regexp.MustCompile(`\b`+field+`\b`).MatchString(rows[kind]) {
				t.Errorf("the row of %s lacks %s: %q", kind, field, rows[kind])
			}
		}
	}
}

func TestProtocol_HeartbeatHasNoFrame(t *testing.T) {
	frame, err := native.Protocol{}.Encode(gateway.Heartbeat{})
	if err != nil || frame.Data != nil {
		t.Errorf("Encode(Heartbeat) = %q, %v; want no data", frame.Data, err)
	}
}

func readGolden(t *testing.T, file string) string {
	t.Helper()
	golden, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(golden)
}

func compareGolden(t *testing.T, file, want, got string) {
	t.Helper()
	if got == want {
		return
	}
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	wanted := strings.Split(want, "\n")
	for i, line := range strings.Split(got, "\n") {
		if i >= len(wanted) || line != wanted[i] {
			t.Errorf("%s:%d: got\n%s\nwant\n%s", file, i+1, line, append(wanted, "")[min(i, len(wanted))])
		}
	}
	t.Errorf("%s differs: if the new text is right, run the tests with -update", file)
}
