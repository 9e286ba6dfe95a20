package pusher

import (
	"bytes"
	"encoding/json"
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
)

var update = flag.Bool("update", false, "write the golden files anew")

// spoken returns the protocol of an app's clients.
func spoken(a App) Protocol {
	var apps Apps
	if err := apps.Set([]App{a}); err != nil {
		panic(err)
	}
	app, _ := apps.byID(a.ID)
	return Protocol{app}
}

const (
	heardFile = "testdata/heard.golden"
	saidFile  = "testdata/said.golden"
)

// TestProtocol_HearsCommands decodes the frames of heard.golden, each on a line that begins
// with "> ", and compares the commands with the line below.
func TestProtocol_HearsCommands(t *testing.T) {
	golden := readGolden(t, heardFile)
	p := spoken(App{ID: "1", Key: "k", Secret: "s", Prefix: "shop:"})
	var got strings.Builder
	for line := range strings.Lines(golden) {
		switch frame, isFrame := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "> "); {
		case isFrame:
			fmt.Fprintf(&got, "> %s\n  %s\n", frame, meaning(t, p, frame))
		case !strings.HasPrefix(line, "  "):
			got.WriteString(line)
		}
	}
	compareGolden(t, heardFile, golden, got.String())
}

func meaning(t *testing.T, p Protocol, frame string) string {
	t.Helper()
	commands, err := p.Decode(gateway.Frame{Data: []byte(frame)})
	if err != nil || len(commands) > 1 {
		t.Fatalf("Decode(%s) = %v, %v; want at most one command", frame, commands, err)
	}
	if len(commands) == 0 {
		return "nothing"
	}
	name := strings.TrimPrefix(fmt.Sprintf("%T", commands[0]), "gateway.")
	if c, ok := commands[0].(gateway.Publish); ok {
		return fmt.Sprintf("%s{Channel:%q %v:%q Event:%q}", name, c.Channel, c.Kind, c.Payload, c.Event)
	}
	return name + fmt.Sprintf("%+v", commands[0])
}

// TestProtocol_SaysEvents also checks that frames are valid JSON, and that data is a string
// of JSON where Pusher's servers send one.
func TestProtocol_SaysEvents(t *testing.T) {
	p := spoken(App{ID: "1", Key: "k", Secret: "s", Prefix: "shop:", SubscriptionCounts: true})
	var got strings.Builder
	for _, event := range everyEvent() {
		frame, err := p.Encode(event)
		var reason gateway.Reason
		switch {
		case errors.As(err, &reason):
			code, text := p.Farewell(reason)
			fmt.Fprintf(&got, "%-24s closes with %d %s\n", nameOf(event), code, text)
		case err != nil || frame.Binary:
			t.Fatalf("Encode(%#v) = %v, %v; want a text frame or a reason", event, frame, err)
		case frame.Data == nil:
			fmt.Fprintf(&got, "%-24s -\n", nameOf(event))
		default:
			fmt.Fprintf(&got, "%-24s %s\n", nameOf(event), frame.Data)
			if !json.Valid(frame.Data) || !utf8.Valid(frame.Data) {
				t.Errorf("%s is no JSON", frame.Data)
			}
		}
	}
	compareGolden(t, saidFile, readGolden(t, saidFile), got.String())
}

func nameOf(event gateway.Event) string {
	return strings.TrimPrefix(fmt.Sprintf("%T", event), "gateway.")
}

func everyEvent() []gateway.Event {
	message := func(channel, event, user string, kind broker.Kind, payload string) gateway.Event {
		return gateway.Message{Message: &broker.Message{
			Channel: "shop:" + channel, Payload: []byte(payload), Kind: kind, Event: event, User: user, Session: "1.2",
			Position: broker.Position{Epoch: "k3x9", Offset: 45}, Time: time.UnixMilli(1767225600123),
		}}
	}
	const anna = "shop:anna"
	named := json.RawMessage(`{"name":"Anna"}`)
	return []gateway.Event{
		gateway.Welcome{Session: "12.34", Node: "n1", Ping: 25 * time.Second},
		gateway.Welcome{ID: answered, Session: "12.34", User: anna},
		gateway.Welcome{ID: answered, Session: "12.34", User: anna, Info: named},
		gateway.Subscribed{ID: answered, Channel: "shop:news"},
		gateway.Subscribed{ID: answered, Channel: "@" + anna},
		gateway.Subscribed{ID: answered, Channel: "shop:presence-x"},
		gateway.Subscribed{ID: answered, Channel: "shop:presence-x", Members: []gateway.Member{
			{User: anna, Info: named}, {User: "shop:bob"}, {User: "shop:bob", Session: "5.6"}, {},
		}},
		gateway.Subscribed{Channel: "#online:" + anna, Unseen: true}, // has no members
		gateway.Subscribed{Channel: "#online:" + anna, Unseen: true, Members: []gateway.Member{{User: "shop:mallory"}, {User: anna}}},
		gateway.Subscribed{Channel: "#online:" + anna, Members: []gateway.Member{{User: anna}}}, // sent to anna's own connection
		gateway.Join{Channel: "#online:" + anna, User: anna}, gateway.Leave{Channel: "#online:" + anna, User: anna},
		gateway.Join{Channel: "#online:" + anna, User: "shop:mallory"}, gateway.Leave{Channel: "#online:" + anna, User: "shop:mallory"},
		gateway.Message{Message: &broker.Message{Channel: "#online:" + anna, Payload: []byte("1"), User: anna}},
		gateway.Gap{Channel: "#online:" + anna}, gateway.PresenceChanged{Channel: "#online:" + anna},
		gateway.Unsubscribed{Channel: "#online:" + anna, Code: gateway.Forbidden},
		gateway.Unsubscribed{ID: answered, Channel: "shop:news"},
		gateway.Unsubscribed{Channel: "shop:news", Code: gateway.Forbidden, Reason: "the rules have changed"},
		gateway.NothingRecent{Channel: "shop:cache-x"},
		gateway.Counted{Channel: "shop:news", Sessions: 3}, gateway.Counted{Channel: "shop:presence-x", Sessions: 3},
		message("news", "said", anna, broker.JSON, `{"text":"é \"hi\""}`),
		message("news", "said", "", broker.Text, "line 1\nline 2"),
		message("news", "", "", broker.JSON, "42"),
		message("news", "pusher:error", "", broker.JSON, `{"code":4001}`),
		message("news", "pusher_internal:member_added", "", broker.JSON, "{}"),
		message("news", "bytes", "", broker.Binary, "\xff\x00"),
		message("private-x", "client-x", anna, broker.JSON, "1"),
		message("presence-x", "client-x", anna, broker.JSON, "1"),
		message("presence-x", "client-x", "", broker.JSON, "1"),
		message("presence-x", "said", anna, broker.JSON, "1"),
		gateway.Join{Channel: "shop:presence-x", User: anna, Info: named},
		gateway.Join{Channel: "shop:presence-x", User: anna},
		gateway.Leave{Channel: "shop:presence-x", User: anna},
		gateway.PresenceChanged{Channel: "shop:presence-x"},
		gateway.Failure{Command: "subscribe", Channel: "shop:private-x", Code: gateway.Unauthenticated, Message: "the signature is wrong"},
		gateway.Failure{Command: "subscribe", Channel: "shop:private-x", Code: gateway.Forbidden, Message: "not allowed"},
		gateway.Failure{Command: "subscribe", Channel: "shop:x y", Code: gateway.BadRequest, Message: "a bad name"},
		gateway.Failure{Command: "subscribe", Channel: "shop:x", Code: gateway.Unavailable, Message: "try again"},
		gateway.Failure{Command: "subscribe", Channel: "shop:x", Code: gateway.RateLimited, Message: "too much is being read"},
		gateway.Failure{Command: "unsubscribe", Channel: "shop:x", Code: gateway.NotFound, Message: "not subscribed"},
		gateway.Failure{Command: "auth", Code: gateway.Unauthenticated, Message: "the signature is wrong"},
		gateway.Failure{Command: "auth", Code: gateway.BadRequest, Message: "too many ids"},
		gateway.Failure{Command: "auth", Code: gateway.RateLimited, Message: "slow down"},
		gateway.Failure{Command: "auth", Code: gateway.LimitExceeded, Message: "no room"},
		gateway.Failure{Command: "publish", Channel: "shop:private-x", Code: gateway.RateLimited, Message: "slow down"},
		gateway.Failure{Command: "publish", Channel: "shop:private-x", Code: gateway.TooLarge, Message: "too large"},
		gateway.Failure{Command: "malformed", Code: gateway.BadRequest, Message: "no event: \xff"},
		gateway.Pong{ID: answered},
		gateway.Heartbeat{},
		gateway.Published{Channel: "shop:private-x"},
		gateway.Members{}, gateway.Messages{}, gateway.CaughtUp{},
		gateway.Gap{Channel: "shop:news"},
		gateway.Reconnect{Within: time.Second},
		gateway.Goodbye{Reason: gateway.NotAuthentic},
		gateway.Goodbye{Reason: gateway.Overloaded},
	}
}

func TestProtocol_FarewellSaysWhetherToComeBack(t *testing.T) {
	refused := gateway.Refused.With("there is no app with this key")
	refused.Code = noApp
	for _, c := range []struct {
		reason gateway.Reason
		code   int
	}{
		{gateway.Left, 1000}, {gateway.ProtocolError, 1002}, {gateway.Unsupported, 1003}, {gateway.InvalidData, 1007}, {gateway.TooBig, 1009},
		{refused, 4001}, {gateway.NotAuthentic, 4009}, {gateway.TokenExpired, 4009}, {gateway.Disconnected, 4009}, {gateway.Policy, 4009},
		{gateway.SlowConsumer, 4100}, {gateway.Overloaded, 4100}, {gateway.Failed, 4100}, {gateway.NotConfirmed, 4100},
		{gateway.Draining, 4200}, {gateway.Missed, 4200}, {gateway.TimedOut, 4201}, {gateway.Lost, 4202},
	} {
		if code, text := (Protocol{}).Farewell(c.reason); code != c.code || text != c.reason.Text {
			t.Errorf("%s: %d %q, want %d %q", c.reason.Label, code, text, c.code, c.reason.Text)
		}
	}
}

// When an app is removed, its protocol ends the sessions of its clients.
func TestProtocol_AnAppThatIsGoneEndsItsSessions(t *testing.T) {
	p := spoken(shop)
	p.app.settings.Store(nil)
	if _, err := p.Decode(gateway.Frame{Data: []byte(`{"event":"pusher:ping"}`)}); !errors.Is(err, gateway.Disconnected) {
		t.Errorf("Decode: %v", err)
	}
	if _, err := p.Encode(gateway.Pong{}); !errors.Is(err, gateway.Disconnected) {
		t.Errorf("Encode: %v", err)
	}
}

// FuzzDecode checks that any frame is decoded or reported as malformed, that a publish
// contains what was sent, and that no command refers to the frame's memory.
func FuzzDecode(f *testing.F) {
	for line := range strings.Lines(readGolden(f, heardFile)) {
		if frame, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "> "); ok {
			f.Add([]byte(frame))
		}
	}
	p := spoken(shop)
	f.Fuzz(func(t *testing.T, sent []byte) {
		data := bytes.Clone(sent)
		commands, err := p.Decode(gateway.Frame{Data: data})
		fuzzLined(t, p, sent)
		if !utf8.Valid(sent) {
			if !errors.Is(err, gateway.InvalidData) {
				t.Fatalf("%q: %v, want that it is not UTF-8", sent, err)
			}
			return
		}
		if err != nil || len(commands) > 1 {
			t.Fatalf("%q: %v, %v", sent, commands, err)
		}
		if len(commands) == 0 {
			return
		}
		before := fmt.Sprintf("%+v", commands[0])
		clear(data)
		if after := fmt.Sprintf("%+v", commands[0]); after != before {
			t.Fatalf("%q: %s became %s", sent, before, after)
		}
		if c, publishes := commands[0].(gateway.Publish); publishes {
			if !strings.HasPrefix(c.Event, clientPrefix) || c.Payload == nil || c.Kind == broker.JSON && !json.Valid(c.Payload) {
				t.Errorf("%q: %+v", sent, c)
			}
		}
	})
}

// fuzzLined decodes sent as a frame of a fallback transport, and as an event inside of one.
func fuzzLined(t *testing.T, p Protocol, sent []byte) {
	l := lined{p}
	if _, err := l.Decode(gateway.Frame{Data: sent}); err != nil && !errors.Is(err, gateway.InvalidData) {
		t.Fatalf("%q: %v", sent, err)
	}
	list, _ := json.Marshal([]string{string(sent)}) // cannot fail
	if commands, err := l.Decode(gateway.Frame{Data: list}); err != nil || len(commands) > 1 {
		t.Fatalf("%q: %v, %v", list, commands, err)
	}
}

func BenchmarkEncode_Message(b *testing.B) {
	p := spoken(shop)
	event := gateway.Message{Message: &broker.Message{Channel: "news", Payload: []byte(`{"text":"` + strings.Repeat("x", 117) + `"}`), Event: "said"}}
	for b.Loop() {
		if _, err := p.Encode(event); err != nil {
			b.Fatal(err)
		}
	}
}

func readGolden(t testing.TB, file string) string {
	t.Helper()
	golden, err := os.ReadFile(file)
	must(t, err)
	return string(golden)
}

func compareGolden(t *testing.T, file, want, got string) {
	t.Helper()
	if got == want {
		return
	}
	if *update {
		must(t, os.WriteFile(file, []byte(got), 0o644))
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
