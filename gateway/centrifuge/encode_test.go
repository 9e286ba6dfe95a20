package centrifuge_test

import (
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/centrifuge"
	"tidegate/gateway/centrifuge/internal/wire"
)

var update = flag.Bool("update", false, "write the golden file anew")

const saidFile = "testdata/said.golden"

// TestEncode_SaysEvents compares each event with said.golden, in JSON and in the text
// form of Protobuf.
func TestEncode_SaysEvents(t *testing.T) {
	var got strings.Builder
	for _, event := range everyEvent() {
		frame, err := centrifuge.Protocol{}.Encode(event)
		if err != nil {
			fmt.Fprintf(&got, "%T ends the session: %v\n", event, gateway.ReasonOf(err).Label)
			continue
		}
		if frame.Data != nil && !json.Valid(frame.Data) || strings.ContainsAny(string(frame.Data), "\r\n") {
			t.Errorf("%#v is said as %s, which is not JSON on one line", event, frame.Data)
		}
		fmt.Fprintf(&got, "%s\n  %s\n", frame.Data, textOf(t, event))
	}
	want, err := os.ReadFile(saidFile)
	if string(want) == got.String() {
		return
	}
	if *update {
		err = os.WriteFile(saidFile, []byte(got.String()), 0o644)
	} else {
		t.Errorf("%s differs: if this is right, run the tests with -update\n%s", saidFile, got.String())
	}
	must(t, err)
}

func textOf(t *testing.T, event gateway.Event) string {
	t.Helper()
	frame, err := centrifuge.Protocol{Format: centrifuge.Protobuf}.Encode(event)
	if err != nil || frame.Data == nil {
		return ""
	}
	length, size := binary.Uvarint(frame.Data)
	var reply wire.Reply
	if err := proto.Unmarshal(frame.Data[size:], &reply); err != nil || int(length) != len(frame.Data)-size || !frame.Binary {
		t.Fatalf("%#v is said as %x: %v", event, frame.Data, err)
	}
	return strings.ReplaceAll(prototext.MarshalOptions{}.Format(&reply), "  ", " ") // Format varies its spaces on purpose
}

// number returns the ID of a command.
func number(t gateway.Command) gateway.ID {
	switch c := t.(type) {
	case gateway.Auth:
		return c.ID
	case gateway.Subscribe:
		return c.ID
	case gateway.Unsubscribe:
		return c.ID
	case gateway.Publish:
		return c.ID
	case gateway.Presence:
		return c.ID
	case gateway.History:
		return c.ID
	case gateway.Call:
		return c.ID
	case gateway.Renew:
		return c.ID
	case gateway.Ping:
		return c.ID
	case gateway.Malformed:
		return c.ID
	}
	return gateway.ID{}
}

// to returns the ID of a command given in JSON.
func to(command string) gateway.ID {
	commands, err := centrifuge.Protocol{}.Decode(gateway.Frame{Data: []byte(command)})
	if err != nil {
		panic(err)
	}
	return number(commands[0])
}

func everyEvent() []gateway.Event {
	at := broker.Position{Epoch: "k3x9", Offset: 45}
	before := broker.Position{Epoch: "k3x9", Offset: 41}
	connect, refresh := to(`{"id":1,"connect":{}}`), to(`{"id":2,"refresh":{"token":"t"}}`)
	subscribe, resume := to(`{"id":3,"subscribe":{"channel":"c"}}`), to(`{"id":3,"subscribe":{"channel":"c","recover":true,"epoch":"k3x9","offset":41}}`)
	unsubscribe, publish := to(`{"id":4,"unsubscribe":{"channel":"c"}}`), to(`{"id":5,"publish":{"channel":"c","data":1}}`)
	presence, stats := to(`{"id":6,"presence":{"channel":"c"}}`), to(`{"id":7,"presence_stats":{"channel":"c"}}`)
	history, reverse := to(`{"id":8,"history":{"channel":"c","limit":2}}`), to(`{"id":8,"history":{"channel":"c","limit":2,"reverse":true}}`)
	position, ping, rpc := to(`{"id":9,"history":{"channel":"c"}}`), to(`{"id":10,"ping":{}}`), to(`{"id":11,"rpc":{"method":"m"}}`)
	message := broker.Message{
		Channel: "c", Payload: []byte("{\n\t\"text\":\"hi\"\r\n}"), Event: "said", User: "alice", Session: "s1",
		Info: json.RawMessage("{\n\"role\":\"guest\"}"), Elsewhere: json.RawMessage("{\n\"name\":\"Alice\"}"), Tags: json.RawMessage(`{"a":"b\u00e9"}`),
		Time: time.UnixMilli(1767225600123), Position: at,
	}
	text := broker.Message{Channel: "c", Payload: []byte("line \"1\"\n"), Kind: broker.Text, Position: broker.Position{Epoch: "k3x9", Offset: 46}}
	long := broker.Message{Channel: "c", Payload: []byte(`{"title":"the state of the match","home":1}`), Position: at}
	longer := broker.Message{Channel: "c", Payload: []byte("{\"title\":\"the state of the match\",\n\"home\":0,\"guests\":0}"), Position: before}
	members := []gateway.Member{{User: "alice", Session: "s1", Info: []byte(`{"n":1}`), Sessions: 1}, {User: "bob", Info: []byte(`{"n":2}`), Elsewhere: []byte(`null`), Sessions: 2}, {User: "carol", Session: "lingers"}}
	return []gateway.Event{
		gateway.Welcome{Session: "s1", Node: "n1"},
		gateway.Welcome{ID: connect, Session: "s1", User: "alice", Node: "n1", Ping: 25 * time.Second},
		gateway.Welcome{ID: connect, Session: "s1", Node: "n1", Ping: 100 * time.Millisecond},
		gateway.Welcome{ID: connect, Session: "s1", Node: "n1", Key: "k", Channels: []gateway.Subscribed{
			{Channel: "@alice", Position: at, After: before, Resumed: true, Recovered: true},
			{Channel: "kept", Position: at, After: at, Resumed: true}, {Channel: "live"},
		}},
		gateway.Welcome{ID: connect, Session: "s1", Data: json.RawMessage("{\n}")},
		gateway.Welcome{ID: refresh, Session: "s1", Node: "n1", Data: json.RawMessage("{}")},
		gateway.Subscribed{Asked: true, ID: subscribe, Channel: "c"},
		gateway.Subscribed{Asked: true, ID: subscribe, Channel: "c", Data: json.RawMessage("{\n}")},
		gateway.Subscribed{Asked: true, ID: subscribe, Channel: "c", Position: at, After: at},
		gateway.Subscribed{Asked: true, ID: resume, Channel: "c", Position: at, After: before, Resumed: true, Recovered: true},
		gateway.Subscribed{Asked: true, ID: resume, Channel: "c", Position: at, After: before, Resumed: true},
		gateway.Subscribed{Asked: true, ID: resume, Channel: "c", Position: at, After: before},
		gateway.Subscribed{Asked: true, ID: resume, Channel: "c", Position: at, After: at},
		gateway.Subscribed{Channel: "@alice", Position: at, After: at},
		gateway.Subscribed{Channel: "news", Data: json.RawMessage("{\n}")},
		gateway.Subscribed{Channel: "news", Position: at, After: before, Resumed: true, Recovered: true},
		gateway.Subscribed{Channel: "@alice", Position: at, After: at, Welcomed: true},
		gateway.Unsubscribed{ID: unsubscribe, Channel: "c"},
		gateway.Unsubscribed{Channel: "c", Code: gateway.Forbidden, Reason: "the rules have changed"},
		gateway.Unsubscribed{Channel: "c", Code: gateway.Unavailable, Reason: "\xff"},
		gateway.Unsubscribed{Channel: "c", Code: gateway.Unauthenticated, Expired: true, Reason: "the token has expired"},
		gateway.Renewed{ID: to(`{"id":12,"sub_refresh":{"channel":"c","token":"t"}}`), Channel: "c"},
		gateway.Published{ID: publish, Channel: "c", Position: at},
		gateway.Message{Message: &message},
		gateway.Message{Message: &text},
		gateway.Message{Message: &broker.Message{Channel: "c", Payload: []byte("\xff\x00"), Kind: broker.Binary}},
		gateway.Subscribed{Asked: true, ID: to(`{"id":3,"subscribe":{"channel":"c","delta":"fossil"}}`), Channel: "c"},
		gateway.Subscribed{Asked: true, ID: to(`{"id":3,"subscribe":{"channel":"c","delta":"other"}}`), Channel: "c"},
		gateway.Delta{Message: &message},
		gateway.Delta{Message: &text},
		gateway.Delta{Message: &text, Before: &message},
		gateway.Delta{Message: &long, Before: &longer},
		gateway.Members{ID: presence, Channel: "c", Members: members},
		gateway.Members{ID: presence, Channel: "c"},
		gateway.Members{ID: stats, Channel: "c", Members: members},
		gateway.Members{ID: stats, Channel: "c"},
		gateway.Messages{ID: history, Channel: "c", Messages: []broker.Message{message, text}, Position: at, Top: at},
		gateway.Messages{ID: reverse, Channel: "c", Messages: []broker.Message{message, text}, Position: at, Top: at},
		gateway.Messages{ID: position, Channel: "c", Messages: []broker.Message{message}, Position: at, Top: at},
		gateway.Messages{ID: history, Channel: "c", Lost: true},
		gateway.Messages{ID: history, Channel: "c", Lost: true, Unknown: true},
		gateway.Messages{ID: reverse, Channel: "c", Lost: true, Unknown: true},
		gateway.Join{Channel: "c", User: "bob", Session: "s7", Info: []byte(`{}`)},
		gateway.Join{Channel: "c", User: "bob", Session: "s7", Info: []byte(`1`), Elsewhere: []byte(`{}`)},
		gateway.Leave{Channel: "c", User: "bob"},
		gateway.Leave{Channel: "c", User: "bob", Session: "s7", Info: []byte(`1`), Elsewhere: []byte(`{}`)},
		gateway.PresenceChanged{Channel: "c"},
		gateway.Gap{Channel: "c"},
		gateway.Failure{ID: unsubscribe, Channel: "c", Code: gateway.NotFound, Message: "not there"},
		gateway.Failure{ID: history, Channel: "c", Code: gateway.NotFound, Message: "keeps no history"},
		gateway.Failure{ID: rpc, Code: gateway.NotFound, Message: "no such method"},
		gateway.Answer{ID: rpc, Payload: []byte("{\n}")},
		gateway.Answer{ID: rpc, Payload: []byte("hi"), Kind: broker.Text},
		gateway.Answer{ID: rpc},
		gateway.Failure{ID: subscribe, Channel: "c", Code: gateway.Forbidden, Message: "not UTF-8: \xff"},
		gateway.Failure{ID: publish, Channel: "c", Code: gateway.RateLimited, Message: "slow down"},
		gateway.Failure{ID: publish, Channel: "c", Code: gateway.Unavailable, Message: "not confirmed"},
		gateway.Failure{ID: connect, Code: gateway.Unauthenticated, Message: "who?"},
		gateway.Failure{ID: connect, Code: gateway.Unauthenticated, Message: "too late", Reason: gateway.TokenExpired},
		gateway.Failure{ID: refresh, Code: gateway.Unauthenticated, Message: "too late", Reason: gateway.TokenExpired},
		gateway.Failure{ID: to(`{"id":12,"sub_refresh":{"channel":"c","token":"t"}}`), Code: gateway.Unauthenticated, Message: "too late", Reason: gateway.TokenExpired},
		gateway.Failure{Channel: "c", Code: gateway.Forbidden, Message: "nobody asked"},
		gateway.Pong{ID: ping},
		gateway.Heartbeat{},
		gateway.Reconnect{Within: time.Second},
		gateway.CaughtUp{},
	}
}

// A loss on a server-side subscription is sent as an end of the subscription followed by a
// new one. A one-way client gets only the new one.
func TestEncode_TellsThatASubscriptionOfTheServersHasNotRecovered(t *testing.T) {
	at := broker.Position{Epoch: "k3x9", Offset: 45}
	lost := gateway.Subscribed{Channel: "c", Position: at, After: at, Resumed: true}
	begins := `"subscribe":{"recoverable":true,"epoch":"k3x9","offset":45,"positioned":true,"was_recovering":true}}`
	pushes := []string{
		`{"push":{"channel":"c","subscribe":{}}}`,
		`{"push":{"channel":"c","unsubscribe":{"code":2500,"reason":"insufficient state"}}}`,
		`{"push":{"channel":"c",` + begins + `}`,
	}
	for p, want := range map[centrifuge.Protocol]string{
		{}:                            strings.Join(pushes, "\n"),
		{Framing: centrifuge.Lines}:   strings.Join(pushes, "\n") + "\n",
		{Framing: centrifuge.Events}:  "data: " + strings.Join(pushes, "\n\ndata: ") + "\n\n",
		{OneWay: true}:                `{"channel":"c",` + begins,
		{Format: centrifuge.Protobuf}: "",
	} {
		frame, err := p.Encode(lost)
		if err != nil || p.Format == centrifuge.JSON && string(frame.Data) != want {
			t.Errorf("%+v says %s, %v; want %s", p, frame.Data, err, want)
		}
		for rest := frame.Data; p.Format == centrifuge.Protobuf && len(rest) > 0; pushes = pushes[1:] {
			length, size := binary.Uvarint(rest)
			var reply wire.Reply
			if err := proto.Unmarshal(rest[size:][:length], &reply); err != nil || (reply.Push.Unsubscribe != nil) != (len(pushes) == 2) {
				t.Errorf("%+v: %v, want %s", &reply, err, pushes[0])
			}
			rest = rest[size+int(length):]
		}
	}
	if len(pushes) > 0 {
		t.Errorf("not said in Protobuf: %s", pushes)
	}
}

func TestEncode_SaysWhenToRenewAToken(t *testing.T) {
	for left, want := range map[time.Duration][2]int{time.Hour: {3570, 3580}, 40 * time.Second: {25, 30}, time.Second: {1, 1}, -time.Second: {1, 1}} {
		for _, command := range []string{`{"id":1,"connect":{}}`, `{"id":1,"refresh":{"token":"t"}}`} {
			frame, err := centrifuge.Protocol{}.Encode(gateway.Welcome{ID: to(command), Expires: time.Now().Add(left)})
			must(t, err)
			var reply map[string]json.RawMessage
			var expiry struct {
				Expires bool
				TTL     int
			}
			_ = json.Unmarshal(frame.Data, &reply)
			for _, body := range reply {
				_ = json.Unmarshal(body, &expiry) // fails for the id, which does not matter
			}
			if !expiry.Expires || expiry.TTL < want[0] || expiry.TTL > want[1] {
				t.Errorf("of %v the client hears %s", left, frame.Data)
			}
		}
	}
}

func TestFarewell_SaysWhetherToComeBack(t *testing.T) {
	for code, reasons := range map[int][]gateway.Reason{
		1000: {gateway.Left},
		1009: {gateway.TooBig},
		3001: {gateway.Draining},
		3004: {gateway.Failed, gateway.NotConfirmed, gateway.Overloaded},
		3005: {gateway.TokenExpired},
		3008: {gateway.SlowConsumer},
		3010: {gateway.Missed},
		3012: {gateway.TimedOut},
		3500: {gateway.NotAuthentic, gateway.NotAuthentic.With("revoked")},
		3501: {gateway.ProtocolError, gateway.Unsupported, gateway.InvalidData},
		3503: {gateway.Disconnected},
		3507: {gateway.Policy},
	} {
		for _, reason := range reasons {
			if got, text := (centrifuge.Protocol{}).Farewell(reason); got != code || text != reason.Text {
				t.Errorf("%s is told as %d %q, want %d", reason.Label, got, text, code)
			}
		}
	}
}
