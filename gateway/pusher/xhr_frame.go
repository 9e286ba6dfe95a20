package pusher

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"

	"tidegate/broker/jsontext"
	"tidegate/gateway"
)

// Lines that a server sends over the fallback transports:
//
//	hhh…        2048 of them begin a stream, so that nothing buffers what follows
//	o           the session has begun
//	a["…"]      events, each as a string
//	h           a heartbeat
//	c[code,"…"] the session has ended
//
// A client sends ["…"] in the body of a separate request: events, each as a string. [] is a
// heartbeat.
const (
	lineOpen      = "o\n"
	lineHeartbeat = "h\n"
)

// lined is a Protocol whose frames are such lines. Like Protocol, it is comparable.
type lined struct{ Protocol }

var _ gateway.Protocol = lined{}

func (l lined) Decode(frame gateway.Frame) ([]gateway.Command, error) {
	if !utf8.Valid(frame.Data) {
		return nil, gateway.InvalidData
	}
	events, err := jsontext.DecodeList[string](frame.Data, mostSent, errManySent)
	if err != nil || !json.Valid(frame.Data) {
		return []gateway.Command{malformed(fmt.Sprintf(`want up to %d events as a list of strings: ["{…}"]`, mostSent))}, nil
	}
	var all []gateway.Command
	for _, event := range events {
		commands, err := l.Protocol.Decode(gateway.Frame{Data: []byte(event)})
		if err != nil {
			return nil, err
		}
		all = append(all, commands...)
	}
	return all, nil
}

// mostSent is the maximum number of events in a body. The library sends one at a time.
const mostSent = 100

var errManySent = errors.New("too many events")

func (l lined) Encode(event gateway.Event) (gateway.Frame, error) {
	if _, quiet := event.(gateway.Heartbeat); quiet {
		return gateway.Frame{Data: []byte(lineHeartbeat)}, nil
	}
	frame, err := l.Protocol.Encode(event)
	if frame.Data != nil {
		frame.Data = lineOf(frame.Data)
	}
	return frame, err
}

func lineOf(event []byte) []byte {
	line := append(make([]byte, 0, len(event)+len(event)/4+8), "a["...)
	return append(jsontext.AppendString(line, event), "]\n"...)
}

func lineClose(reason gateway.Reason) []byte {
	line, _ := json.Marshal([]any{reason.Code, reason.Text}) // an integer and a string
	return append(append([]byte("c"), line...), '\n')
}

// units returns the length of a text in UTF-16 code units, as in JavaScript. Clients use it
// to decide when a stream has become too long.
func units(text []byte) (n int) {
	for _, r := range string(text) {
		n += utf16.RuneLen(r)
	}
	return n
}
