package native

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math"
	"strconv"
	"unsafe"

	"tidegate/broker"
	"tidegate/broker/jsontext"
	"tidegate/gateway"
)

const knownTypes = "auth, subscribe, unsubscribe, publish, presence, history or ping"

// decode parses a frame, which must be valid UTF-8.
func decode(frame []byte) gateway.Command {
	var r reader
	if !r.parse(frame) {
		return r.unreadable(frame)
	}
	command := r.command()
	if r.problem != "" {
		id, _ := readID(r.id)
		return gateway.Malformed{ID: id, Reason: r.problem}
	}
	return command
}

// unreadable returns the error for a frame that parse could not read to its end. If the
// frame is nested too deep, the error has the id, provided that the id came first.
func (r *reader) unreadable(frame []byte) gateway.Command {
	if !broker.NestedIn(frame, 1) {
		return gateway.Malformed{Reason: "the frame is not one JSON object"}
	}
	id, _ := readID(r.id)
	return gateway.Malformed{ID: id, Reason: fmt.Sprintf("the JSON is nested too deep: at most %d levels are allowed", broker.MostNested)}
}

// reader converts a frame's fields to Go values and keeps the first problem. It does not
// check fields that the command does not use.
type reader struct {
	fields
	problem string
}

func (r *reader) command() gateway.Command {
	id, ok := readID(r.id)
	if !ok {
		r.complain("id must be an integer of 64 bits")
	}
	switch kind := r.typeName(); string(kind) {
	case "auth":
		return gateway.Auth{ID: id, Token: r.str("token", r.token)}
	case "subscribe":
		return gateway.Subscribe{
			ID: id, Channel: r.str("channel", r.channel), Cursor: r.str("cursor", r.cursor),
			Recent: r.count("recent", r.recent), NoEcho: !r.flag("echo", r.echo, true),
		}
	case "unsubscribe":
		return gateway.Unsubscribe{ID: id, Channel: r.str("channel", r.channel)}
	case "publish":
		return r.publish(id)
	case "presence":
		return gateway.Presence{ID: id, Channel: r.str("channel", r.channel)}
	case "history":
		return gateway.History{ID: id, Channel: r.str("channel", r.channel), Cursor: r.str("cursor", r.cursor), Limit: r.count("limit", r.limit)}
	case "ping":
		return gateway.Ping{ID: id}
	case "":
		r.complain("type is missing, or no string: want " + knownTypes)
	default:
		r.complain(fmt.Sprintf("type %.32q is not known: want %s", kind, knownTypes))
	}
	return nil
}

// typeName returns the type, or nil if it is missing or not a string.
func (r *reader) typeName() []byte {
	if r.kind == nil || r.kind[0] != '"' {
		return nil
	}
	return jsontext.Unquoted(r.kind)
}

func (r *reader) publish(id gateway.ID) gateway.Command {
	channel, payload, kind := r.channelAndPayload()
	return gateway.Publish{
		ID:        id,
		Channel:   channel,
		Payload:   payload,
		Kind:      kind,
		Event:     r.str("event", r.event),
		Tags:      bytes.Clone(r.tags),
		Key:       r.str("key", r.key),
		Transient: r.flag("transient", r.transient, false),
		Trace:     r.str("traceparent", r.traceparent),
	}
}

// channelAndPayload returns copies of both. They share one allocation, since they are also
// released together.
func (r *reader) channelAndPayload() (string, []byte, broker.Kind) {
	payload, kind := r.payload()
	name := r.contents("channel", r.channel)
	both := append(append(make([]byte, 0, len(name)+len(payload)), name...), payload...)
	return unsafe.String(unsafe.SliceData(both), len(name)), both[len(name):], kind
}

// payload returns the value of data, text or binary. It may share the frame's memory.
func (r *reader) payload() ([]byte, broker.Kind) {
	switch {
	case !exactlyOne(r.data != nil, r.text != nil, r.binary != nil):
		r.complain("a publish needs exactly one of data, text and binary")
	case r.data != nil:
		return r.data, broker.JSON
	case r.text != nil:
		return r.contents("text", r.text), broker.Text
	case r.binary != nil:
		return r.base64("binary", r.binary), broker.Binary
	}
	return nil, 0
}

func exactlyOne(a, b, c bool) bool {
	return a && !b && !c || !a && b && !c || !a && !b && c
}

// contents returns the value of a string, or nil if the field is missing. It may share the
// frame's memory.
func (r *reader) contents(name string, value []byte) []byte {
	switch {
	case value == nil:
		return nil
	case value[0] != '"':
		r.complain(name + " must be a string")
		return nil
	}
	return jsontext.Unquoted(value)
}

// str returns a string, or "" if the field is missing.
func (r *reader) str(name string, value []byte) string { return string(r.contents(name, value)) }

func (r *reader) base64(name string, value []byte) []byte {
	payload, err := base64.StdEncoding.AppendDecode(nil, r.contents(name, value))
	if err != nil {
		r.complain(name + " must be base64, with the alphabet and the padding of RFC 4648, section 4")
	}
	return payload
}

// flag returns a boolean, or absent if the field is missing.
func (r *reader) flag(name string, value []byte, absent bool) bool {
	switch string(value) {
	case "":
		return absent
	case "true":
		return true
	case "false":
		return false
	}
	r.complain(name + " must be true or false")
	return absent
}

// count returns a non-negative integer, or 0 if the field is missing.
func (r *reader) count(name string, value []byte) int {
	if value == nil {
		return 0
	}
	n, err := strconv.ParseInt(string(value), 10, 32)
	if err != nil || n < 0 {
		r.complain(fmt.Sprintf("%s must be an integer from 0 to %d", name, math.MaxInt32))
	}
	return int(n)
}

func (r *reader) complain(problem string) {
	if r.problem == "" {
		r.problem = problem
	}
}

// readID parses an id. It returns false if there is one that is not a 64-bit integer.
func readID(value []byte) (gateway.ID, bool) {
	if value == nil {
		return gateway.ID{}, true
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		return gateway.ID{}, false
	}
	return gateway.ID{Value: n, Given: true}, true
}
