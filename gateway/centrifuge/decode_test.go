package centrifuge_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/centrifuge"
	"tidegate/gateway/centrifuge/internal/wire"
)

// asked lists commands in both formats, with the gateway's command for each.
var asked = []struct {
	name  string
	json  string
	wire  *wire.Command
	means string
}{
	{"connect", `{"id":1,"connect":{"token":"t","name":"js"}}`,
		&wire.Command{Id: 1, Connect: withUnused(&wire.ConnectRequest{Token: "t"}, "\x22\x02js")},
		`Auth 1 "t"`},
	{"refresh", `{"id":2,"refresh":{"token":"t"}}`,
		&wire.Command{Id: 2, Refresh: &wire.RefreshRequest{Token: "t"}},
		`Auth 2 "t"`},
	{"subscribe", `{"id":3,"subscribe":{"channel":"c","flag":1,"recoverable":true}}`,
		&wire.Command{Id: 3, Subscribe: withUnused(&wire.SubscribeRequest{Channel: "c"}, "\x70\x01\x50\x01")},
		`Subscribe 3 "c" cursor "" recent 0`},
	{"deltas", `{"id":3,"subscribe":{"channel":"c","delta":"fossil"}}`,
		&wire.Command{Id: 3, Subscribe: &wire.SubscribeRequest{Channel: "c", Delta: "fossil"}},
		`Subscribe 3 "c" cursor "" recent 0 deltas`},
	{"unknown deltas", `{"id":3,"subscribe":{"channel":"c","delta":"other"}}`,
		&wire.Command{Id: 3, Subscribe: &wire.SubscribeRequest{Channel: "c", Delta: "other"}},
		`Subscribe 3 "c" cursor "" recent 0`},
	{"recover", `{"id":4,"subscribe":{"channel":"c","recover":true,"epoch":"k3x9","offset":41}}`,
		&wire.Command{Id: 4, Subscribe: &wire.SubscribeRequest{Channel: "c", Recover: true, Epoch: "k3x9", Offset: 41}},
		`Subscribe 4 "c" cursor "k3x9:41" recent 0`},
	{"with data", `{"id":4,"subscribe":{"channel":"c","data":{"a": 1}}}`,
		&wire.Command{Id: 4, Subscribe: &wire.SubscribeRequest{Channel: "c", Data: []byte(`{"a": 1}`)}},
		`Subscribe 4 "c" cursor "" recent 0 with {"a": 1}`},
	{"connect with data", `{"id":1,"connect":{"data":{"a": 1}}}`,
		&wire.Command{Id: 1, Connect: &wire.ConnectRequest{Data: []byte(`{"a": 1}`)}},
		`Auth 1 "" with {"a": 1}`},
	{"recover from the first", `{"id":4,"subscribe":{"channel":"c","recover":true}}`,
		&wire.Command{Id: 4, Subscribe: &wire.SubscribeRequest{Channel: "c", Recover: true}},
		`Subscribe 4 "c" cursor "" recent 1`},
	{"recover from another server", `{"id":4,"subscribe":{"channel":"c","recover":true,"epoch":"qFhv","offset":7}}`,
		&wire.Command{Id: 4, Subscribe: &wire.SubscribeRequest{Channel: "c", Recover: true, Epoch: "qFhv", Offset: 7}},
		`Subscribe 4 "c" cursor "0:0" recent 0`},
	{"filtered", `{"id":4,"subscribe":{"channel":"c","tf":{"key":"k"}}}`,
		&wire.Command{Id: 4, Subscribe: &wire.SubscribeRequest{Channel: "c", Tf: &wire.Empty{}}},
		`Malformed 4`},
	{"map", `{"id":4,"subscribe":{"channel":"c","type":1}}`,
		&wire.Command{Id: 4, Subscribe: &wire.SubscribeRequest{Channel: "c", Type: 1}},
		`Malformed 4`},
	{"unsubscribe", `{"id":5,"unsubscribe":{"channel":"c"}}`,
		&wire.Command{Id: 5, Unsubscribe: &wire.ChannelRequest{Channel: "c"}},
		`Unsubscribe 5 "c"`},
	{"publish", `{"id":6,"publish":{"channel":"c","data":{"a":[1, 2]}}}`,
		&wire.Command{Id: 6, Publish: &wire.PublishRequest{Channel: "c", Data: []byte(`{"a":[1, 2]}`)}},
		`Publish 6 "c" json {"a":[1, 2]}`},
	{"presence", `{"id":7,"presence":{"channel":"c"}}`,
		&wire.Command{Id: 7, Presence: &wire.ChannelRequest{Channel: "c"}},
		`Presence 7 "c"`},
	{"presence_stats", `{"id":8,"presence_stats":{"channel":"c"}}`,
		&wire.Command{Id: 8, PresenceStats: &wire.ChannelRequest{Channel: "c"}},
		`Presence 8 "c"`},
	{"connect, back", `{"id":1,"connect":{"subs":{"a":{"recover":true,"epoch":"k3x9","offset":4},"b":{"recover":true},"c":{"epoch":"k3x9"}}}}`,
		&wire.Command{Id: 1, Connect: &wire.ConnectRequest{Subs: map[string]*wire.SubscribeRequest{
			"a": {Recover: true, Epoch: "k3x9", Offset: 4}, "b": {Recover: true}, "c": {Epoch: "k3x9"},
		}}},
		`Auth 1 "" map[a:k3x9:4]`},
	{"history", `{"id":9,"history":{"channel":"c","limit":10,"since":{"epoch":"k3x9","offset":4}}}`,
		&wire.Command{Id: 9, History: &wire.HistoryRequest{Channel: "c", Limit: 10, Since: &wire.StreamPosition{Epoch: "k3x9", Offset: 4}}},
		`History 9 "c" after "k3x9:4" limit 10`},
	{"history, all", `{"id":9,"history":{"channel":"c","limit":-1}}`,
		&wire.Command{Id: 9, History: &wire.HistoryRequest{Channel: "c", Limit: -1}},
		`History 9 "c" from the oldest limit 0`},
	{"history, beginning", `{"id":9,"history":{"channel":"c","limit":2,"since":{"offset":0,"epoch":"k3x9"}}}`,
		&wire.Command{Id: 9, History: &wire.HistoryRequest{Channel: "c", Limit: 2, Since: &wire.StreamPosition{Epoch: "k3x9"}}},
		`History 9 "c" after "k3x9:0" limit 2`},
	{"history, back", `{"id":9,"history":{"channel":"c","limit":2,"reverse":true}}`,
		&wire.Command{Id: 9, History: &wire.HistoryRequest{Channel: "c", Limit: 2, Reverse: true}},
		`History 9 "c" newest limit 2`},
	{"history, back from", `{"id":9,"history":{"channel":"c","limit":2,"reverse":true,"since":{"offset":4,"epoch":"k3x9"}}}`,
		&wire.Command{Id: 9, History: &wire.HistoryRequest{Channel: "c", Limit: 2, Reverse: true, Since: &wire.StreamPosition{Epoch: "k3x9", Offset: 4}}},
		`History 9 "c" before "k3x9:4" limit 2`},
	{"history, back from nothing", `{"id":9,"history":{"channel":"c","limit":2,"reverse":true,"since":{}}}`,
		&wire.Command{Id: 9, History: &wire.HistoryRequest{Channel: "c", Limit: 2, Reverse: true, Since: &wire.StreamPosition{}}},
		`Malformed 9`},
	{"history, position", `{"id":9,"history":{"channel":"c"}}`,
		&wire.Command{Id: 9, History: &wire.HistoryRequest{Channel: "c"}},
		`History 9 "c" from the oldest limit 1`},
	{"ping", `{"id":10,"ping":{}}`, &wire.Command{Id: 10, Ping: &wire.Empty{}}, `Ping 10`},
	{"rpc", `{"id":11,"rpc":{"method":"m","data":1}}`,
		&wire.Command{Id: 11, Rpc: &wire.RPCRequest{Method: "m", Data: []byte("1")}},
		`Call 11 "m" json 1`},
	{"pong", `{}`, &wire.Command{}, ``},
	{"send", `{"send":{"data":1}}`, &wire.Command{Send: &wire.Empty{}}, ``},
	{"sub_refresh", `{"id":12,"sub_refresh":{"channel":"c","token":"t"}}`,
		&wire.Command{Id: 12, SubRefresh: &wire.SubRefreshRequest{Channel: "c", Token: "t"}},
		`Renew 12 "c" "t"`},
	{"no id", `{"publish":{"channel":"c","data":1}}`,
		&wire.Command{Publish: &wire.PublishRequest{Channel: "c", Data: []byte("1")}}, `protocol_error`},
	{"nothing", `{"id":4,"unheard":{}}`, &wire.Command{Id: 4}, `protocol_error`},
}

func TestDecode(t *testing.T) {
	for _, c := range asked {
		t.Run(c.name, func(t *testing.T) {
			if got := meaning(centrifuge.JSON, []byte(c.json)); got != c.means {
				t.Errorf("JSON means %s, want %s", got, c.means)
			}
			if got := meaning(centrifuge.Protobuf, delimited(t, c.wire)); got != c.means {
				t.Errorf("Protobuf means %s, want %s", got, c.means)
			}
		})
	}
}

func TestDecode_Batches(t *testing.T) {
	const want = `Auth 1 "t"; Ping 2`
	if got := meaning(centrifuge.JSON, []byte("{\"id\":1,\"connect\":{\"token\":\"t\"}}\n{}\n{\"id\":2,\"ping\":{}}\n")); got != want {
		t.Errorf("JSON means %s, want %s", got, want)
	}
	batch := slicesJoin(delimited(t, asked[0].wire), delimited(t, &wire.Command{}), delimited(t, &wire.Command{Id: 2, Ping: &wire.Empty{}}))
	if got := meaning(centrifuge.Protobuf, batch); got != want {
		t.Errorf("Protobuf means %s, want %s", got, want)
	}
}

// Pongs are free for a client, so a frame must not contain many.
func TestDecode_PongsInOneFrame(t *testing.T) {
	for n, want := range map[int]string{1: "", 8: "", 9: "protocol_error", 30_000: "protocol_error"} {
		if got := meaning(centrifuge.JSON, []byte(strings.Repeat("{}", n))); got != want {
			t.Errorf("JSON with %d pongs means %q, want %q", n, got, want)
		}
		if got := meaning(centrifuge.Protobuf, make([]byte, n)); got != want {
			t.Errorf("Protobuf with %d pongs means %q, want %q", n, got, want)
		}
	}
}

// A command takes much more memory than its bytes in a frame.
func TestDecode_CommandsInOneFrameAreBounded(t *testing.T) {
	for n, fits := range map[int]bool{1000: true, 1001: false, 27_000: false} {
		for format, command := range map[centrifuge.Format][]byte{
			centrifuge.JSON:     []byte(`{"id":1,"ping":{}}`),
			centrifuge.Protobuf: delimited(t, &wire.Command{Id: 1, Ping: &wire.Empty{}}),
		} {
			commands, err := centrifuge.Protocol{Format: format}.Decode(gateway.Frame{Data: bytes.Repeat(command, n)})
			if fits && (err != nil || len(commands) != n) || !fits && !errors.Is(err, gateway.ProtocolError) {
				t.Errorf("format %v: a frame with %d commands has %d, and the error %v", format, n, len(commands), err)
			}
		}
	}
}

func slicesJoin(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestDecode_KindsOfProtobufData(t *testing.T) {
	for data, kind := range map[string]broker.Kind{`{"a":1}`: broker.JSON, "hello": broker.Text, "\xff\x00": broker.Binary, "": broker.Text} {
		command := &wire.Command{Id: 1, Publish: &wire.PublishRequest{Channel: "c", Data: []byte(data)}}
		commands, err := centrifuge.Protocol{Format: centrifuge.Protobuf}.Decode(gateway.Frame{Data: delimited(t, command), Binary: true})
		must(t, err)
		if got := commands[0].(gateway.Publish); got.Kind != kind || string(got.Payload) != data {
			t.Errorf("%q is %v %q, want %v", data, got.Kind, got.Payload, kind)
		}
	}
}

// A Conn may reuse the memory of a frame for the next one.
func TestDecode_KeepsNothingOfTheFrame(t *testing.T) {
	for _, c := range asked {
		for format, frame := range map[centrifuge.Format][]byte{centrifuge.JSON: []byte(c.json), centrifuge.Protobuf: delimited(t, c.wire)} {
			p := centrifuge.Protocol{Format: format}
			want, _ := p.Decode(gateway.Frame{Data: bytes.Clone(frame)})
			got, _ := p.Decode(gateway.Frame{Data: frame})
			for i := range frame {
				frame[i] = 'x'
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: after the frame was overwritten it is %+v, want %+v", c.name, got, want)
			}
		}
	}
}

func TestDecode_WhatIsNoFrameEndsTheSession(t *testing.T) {
	for _, frame := range []string{"[]", "null", "{", "7", `{"id":-1}`, `{"id":1,"connect":7}`, "{}\n{"} {
		if got := meaning(centrifuge.JSON, []byte(frame)); got != "protocol_error" {
			t.Errorf("%q means %s", frame, got)
		}
	}
	if got := meaning(centrifuge.JSON, []byte("{\"id\":1,\"ping\":{},\"x\":\"\xff\"}")); got != "invalid_data" {
		t.Errorf("what is not UTF-8 means %s", got)
	}
	for _, frame := range []string{"\x05\x08", "\x80", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x01\xff"} {
		if got := meaning(centrifuge.Protobuf, []byte(frame)); got != "protocol_error" {
			t.Errorf("%q means %s", frame, got)
		}
	}
}

// deep is nested more deeply than clients may.
var deep = strings.Repeat("[", 101) + strings.Repeat("]", 101)

// A command that is nested too deep gets an error reply if it has an id; otherwise
// the session ends.
func TestDecode_BoundsNesting(t *testing.T) {
	for frame, want := range map[string]string{
		`{"id":1,"connect":{"data":` + deep + `}}`:                                             "Malformed 1",
		`{"id":2,"subscribe":{"channel":"c","data":` + deep + `}}`:                             "Malformed 2",
		`{"id":3,"rpc":{"method":"m","data":` + deep + `}}`:                                    "Malformed 3",
		`{"id":4,"unheard":[` + deep + `]}`:                                                    "Malformed 4",
		`{"id":5,"ping":{}}` + "\n" + `{"id":6,"publish":{"channel":"c","data":` + deep + "}}": "Ping 5; Malformed 6",
		`{"send":{"data":` + deep + `}}`:                                                       "protocol_error",
	} {
		if got := meaning(centrifuge.JSON, []byte(frame)); got != want {
			t.Errorf("%.60s means %s, want %s", frame, got, want)
		}
	}
	if _, err := (centrifuge.Protocol{OneWay: true}).Decode(gateway.Frame{Data: []byte(`{"data":` + deep + "}")}); !gateway.ReasonOf(err).Is(gateway.ProtocolError) {
		t.Errorf("a connect request that is nested too deep: %v", err)
	}
}

func FuzzDecodeJSON(f *testing.F) {
	for _, c := range asked {
		f.Add([]byte(c.json))
	}
	f.Add([]byte("{\"id\":1,\"connect\":{}}\n{}"))
	f.Fuzz(func(t *testing.T, frame []byte) { checkDecode(t, centrifuge.JSON, frame) })
}

func FuzzDecodeProtobuf(f *testing.F) {
	for _, c := range asked {
		f.Add(delimited(f, c.wire))
	}
	f.Fuzz(func(t *testing.T, frame []byte) { checkDecode(t, centrifuge.Protobuf, frame) })
}

// FuzzDecodeConnect decodes what one-way clients send: the result is a connect or an error.
func FuzzDecodeConnect(f *testing.F) {
	for _, request := range []string{"", " ", "null", `{}`, `{"token":"t","subs":{"a":{"recover":true,"epoch":"k3x9","offset":4},"b":null}}`, `{"subs":{"a":{"recover":true,"epoch":"\u0000:"}}}`} {
		f.Add([]byte(request))
	}
	p := centrifuge.Protocol{OneWay: true}
	f.Fuzz(func(t *testing.T, request []byte) {
		commands, err := p.Decode(gateway.Frame{Data: request})
		if err != nil {
			if code, _ := p.Farewell(gateway.ReasonOf(err)); code < 3500 || code > 3999 {
				t.Errorf("%q ends with %d, after which SDKs come back with the same", request, code)
			}
			return
		}
		if len(commands) != 1 {
			t.Fatalf("%q: %d commands", request, len(commands))
		}
		for channel, cursor := range commands[0].(gateway.Auth).Cursors {
			if at, err := broker.ParsePosition(cursor); err != nil || at.IsZero() {
				t.Errorf("%q: on %q the cursor is %q: %v", request, channel, cursor, err)
			}
		}
	})
}

// checkDecode fails unless the commands can be answered, or the error has a code that SDKs know.
func checkDecode(t *testing.T, format centrifuge.Format, frame []byte) {
	p := centrifuge.Protocol{Format: format}
	commands, err := p.Decode(gateway.Frame{Data: frame, Binary: format == centrifuge.Protobuf})
	if err != nil {
		if code, _ := p.Farewell(gateway.ReasonOf(err)); code < 3500 || code > 3999 {
			t.Errorf("%q ends with %d, after which SDKs come back with the same", frame, code)
		}
		return
	}
	for _, command := range commands {
		id := reflect.ValueOf(command).FieldByName("ID").Interface().(gateway.ID)
		if uint32(id.Value) == 0 || !id.Given {
			t.Errorf("%q: %+v cannot be answered", frame, command)
		}
		if s, ok := command.(gateway.Subscribe); ok {
			if _, err := broker.ParsePosition(s.Cursor); err != nil {
				t.Errorf("%q: %v", frame, err)
			}
		}
	}
}

// meaning describes the gateway's commands for a frame.
func meaning(format centrifuge.Format, frame []byte) string {
	commands, err := centrifuge.Protocol{Format: format}.Decode(gateway.Frame{Data: frame, Binary: format == centrifuge.Protobuf})
	if err != nil {
		return gateway.ReasonOf(err).Label
	}
	var all []string
	for _, command := range commands {
		all = append(all, meaningOf(command))
	}
	return strings.Join(all, "; ")
}

func meaningOf(command gateway.Command) string {
	switch c := command.(type) {
	case gateway.Auth:
		meaning := fmt.Sprintf("Auth %d %q", uint32(c.ID.Value), c.Token)
		if c.Cursors != nil {
			meaning += fmt.Sprint(" ", c.Cursors)
		}
		return meaning + withData(c.Data)
	case gateway.Subscribe:
		meaning := fmt.Sprintf("Subscribe %d %q cursor %q recent %d", uint32(c.ID.Value), c.Channel, c.Cursor, c.Recent)
		if c.Deltas {
			meaning += " deltas"
		}
		return meaning + withData(c.Data)
	case gateway.Unsubscribe:
		return fmt.Sprintf("Unsubscribe %d %q", uint32(c.ID.Value), c.Channel)
	case gateway.Publish:
		return fmt.Sprintf("Publish %d %q %v %s", uint32(c.ID.Value), c.Channel, c.Kind, c.Payload)
	case gateway.Presence:
		return fmt.Sprintf("Presence %d %q", uint32(c.ID.Value), c.Channel)
	case gateway.History:
		from := map[bool]string{false: "newest", true: "from the oldest"}[c.Oldest]
		if c.Cursor != "" {
			from = fmt.Sprintf("%s %q", map[bool]string{false: "after", true: "before"}[c.Before], c.Cursor)
		}
		return fmt.Sprintf("History %d %q %s limit %d", uint32(c.ID.Value), c.Channel, from, c.Limit)
	case gateway.Call:
		return fmt.Sprintf("Call %d %q %v %s", uint32(c.ID.Value), c.Method, c.Kind, c.Payload)
	case gateway.Renew:
		return fmt.Sprintf("Renew %d %q %q", uint32(c.ID.Value), c.Channel, c.Token)
	case gateway.Ping:
		return fmt.Sprintf("Ping %d", uint32(c.ID.Value))
	case gateway.Malformed:
		return fmt.Sprintf("Malformed %d", uint32(c.ID.Value))
	}
	return fmt.Sprintf("%T", command)
}

func withData(data string) string {
	if data == "" {
		return ""
	}
	return " with " + data
}

// withUnused returns a message with fields of the protocol, encoded, that the gateway does not use.
func withUnused[M proto.Message](m M, fields string) M {
	m.ProtoReflect().SetUnknown([]byte(fields))
	return m
}

func delimited(t testing.TB, m proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	must(t, err)
	return append(binary.AppendUvarint(nil, uint64(len(data))), data...)
}
