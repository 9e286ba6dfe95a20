package transport

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"strings"

	"tidegate/broker"
	"tidegate/gateway"
)

// A notice is a frame of the internal protocol of Server-Sent Events and long-poll sessions.
// It is encoded once for all of them; from it, each connection learns its client's new
// position:
//
//	bytes   meaning
//	1       kind
//	1 to 5  length of the channel's name, as binary.AppendUvarint writes it
//	...     the channel's name
//	1 to 5  length of the position, the same
//	...     the position, as Position.String writes it
//	...     the body, which is sent to the client
type notice struct {
	kind              noticeKind
	channel, position []byte
	body              []byte
}

type noticeKind byte

const (
	message  noticeKind = 'm'
	joined   noticeKind = 'j' // subscribed; messages after the position follow
	resumed  noticeKind = 'r' // subscribed; all messages after the client's position follow
	lost     noticeKind = 'l' // subscribed; some messages after the client's position are lost
	gap      noticeKind = 'g' // messages may have been missed
	caughtUp noticeKind = 'c' // all channels have caught up
	failed   noticeKind = 'f' // not subscribed; the body is the code of the error, a space and its message
	remark   noticeKind = ' ' // changes no position
)

func noticeOf(kind noticeKind, channel string, position broker.Position, body []byte) gateway.Frame {
	at := position.String()
	data := make([]byte, 0, 1+2*binary.MaxVarintLen32+len(channel)+len(at)+len(body))
	data = append(data, byte(kind))
	data = append(binary.AppendUvarint(data, uint64(len(channel))), channel...)
	data = append(binary.AppendUvarint(data, uint64(len(at))), at...)
	return gateway.Frame{Data: append(data, body...)}
}

// parseNotice parses the data of a frame from noticeOf. The result refers to its memory.
func parseNotice(frame []byte) notice {
	n := notice{kind: noticeKind(frame[0])}
	n.channel, frame = cutCounted(frame[1:])
	n.position, n.body = cutCounted(frame)
	return n
}

// failure returns the error of a failed notice.
func (n *notice) failure() error {
	code, message, _ := strings.Cut(string(n.body), " ")
	return &gateway.Error{Code: gateway.Code(code), Message: message}
}

// cutCounted splits data after its first part, which is prefixed by its length.
func cutCounted(data []byte) (part, rest []byte) {
	length, size := binary.Uvarint(data)
	data = data[size:]
	return data[:length], data[length:]
}

// notices is the protocol whose frames are notices. It is comparable if native is.
type notices struct {
	native gateway.Protocol
	form   form
}

// form is the format of a notice's body.
type form uint8

const (
	payloadEvents form = iota // Server-Sent Events with payloads as data
	nativeEvents              // Server-Sent Events with native message objects as data
	nativeObjects             // native message objects
)

func (p notices) Name() string {
	if p.form == nativeObjects {
		return "native"
	}
	return "events"
}

// Decode always fails: these clients cannot send frames.
func (notices) Decode(gateway.Frame) ([]gateway.Command, error) { return nil, gateway.Unsupported }

func (p notices) Encode(event gateway.Event) (gateway.Frame, error) {
	switch e := event.(type) {
	case gateway.Message:
		return p.message(e)
	case gateway.Subscribed:
		return p.subscribed(e), nil
	case gateway.Gap:
		return noticeOf(gap, e.Channel, broker.Position{}, p.gapBody(e.Channel)), nil
	case gateway.CaughtUp:
		return noticeOf(caughtUp, "", broker.Position{}, nil), nil
	case gateway.Heartbeat:
		return noticeOf(remark, "", broker.Position{}, []byte(":\n\n")), nil
	case gateway.Failure:
		if p.form != nativeObjects {
			return gateway.Frame{}, e.Code.Reason().With(e.Message)
		}
		return noticeOf(failed, e.Channel, broker.Position{}, []byte(string(e.Code)+" "+e.Message)), nil
	case gateway.Unsubscribed:
		if e.Code == gateway.Unauthenticated {
			return gateway.Frame{}, gateway.NotAuthentic.With(e.Reason)
		}
		return gateway.Frame{}, gateway.Disconnected.With(e.Reason)
	case gateway.Reconnect:
		return gateway.Frame{}, gateway.Draining
	}
	return gateway.Frame{}, nil
}

// Farewell returns the reason unchanged. A stream ends with it as a comment; a poll is
// answered with it as an error.
func (notices) Farewell(r gateway.Reason) (code int, text string) { return r.Code, r.Text }

func (p notices) subscribed(e gateway.Subscribed) gateway.Frame {
	switch {
	case !e.Resumed:
		return noticeOf(joined, e.Channel, e.After, nil)
	case e.Recovered:
		return noticeOf(resumed, e.Channel, e.Position, nil)
	default:
		return noticeOf(lost, e.Channel, e.Position, p.gapBody(e.Channel))
	}
}

func (p notices) message(e gateway.Message) (gateway.Frame, error) {
	var body []byte
	if p.form == payloadEvents {
		body = appendEvent(nil, nameOf(e), readable(e.Message))
	} else {
		object, err := p.native.Encode(e)
		if err != nil {
			return gateway.Frame{}, err
		}
		body = object.Data
		if p.form == nativeEvents {
			body = appendEvent(nil, "", body)
		}
	}
	return noticeOf(message, e.Channel, e.Position, body), nil
}

func (p notices) gapBody(channel string) []byte {
	if p.form == nativeObjects {
		return nil
	}
	object, err := p.native.Encode(gateway.Gap{Channel: channel})
	if err != nil {
		return nil
	}
	return appendEvent(nil, gapEvent, object.Data)
}

// gapEvent is the event name that announces a gap.
const gapEvent = "gap"

// nameOf returns a message's event name, or "" if that would make the message look like a gap, or
// like what EventSource tells of its connection.
func nameOf(e gateway.Message) string {
	switch e.Event {
	case gapEvent, "open", "error":
		return ""
	}
	return e.Event
}

// readable returns a payload as UTF-8: a binary one in base64, others with invalid bytes
// replaced.
func readable(m *broker.Message) []byte {
	if m.Kind == broker.Binary {
		return base64.StdEncoding.AppendEncode(nil, m.Payload)
	}
	return bytes.ToValidUTF8(m.Payload, []byte("\ufffd"))
}

// appendEvent appends an event without the final empty line, so that an id can follow (HTML
// standard, section 9.2.6). Each line of data becomes its own field, whether it ends in CR,
// LF or CRLF. A name that contains a line break is left out.
func appendEvent(b []byte, name string, data []byte) []byte {
	if name != "" && !strings.ContainsAny(name, "\r\n") {
		b = append(b, "event: "...)
		b = append(b, name...)
		b = append(b, '\n')
	}
	for more := true; more; {
		var line []byte
		line, data, more = cutLine(data)
		b = append(b, "data: "...)
		b = append(b, line...)
		b = append(b, '\n')
	}
	return b
}

func cutLine(data []byte) (line, rest []byte, more bool) {
	end := bytes.IndexAny(data, "\r\n")
	if end < 0 {
		return data, nil, false
	}
	rest = data[end+1:]
	if data[end] == '\r' && len(rest) > 0 && rest[0] == '\n' {
		rest = rest[1:]
	}
	return data[:end], rest, true
}
