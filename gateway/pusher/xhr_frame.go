package pusher

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"tidegate/gateway"
	"tidegate/gateway/internal/jsontext"
)

// What a server says over the fallback transports, a line each:
//
//	hhh…        2048 of them begin a stream, so that what comes next is not held back
//	o           the session has begun
//	a["…"]      events, each as a string
//	h           nothing: a sign of life
//	c[code,"…"] the session has ended
//
// A client says ["…"] in the body of a request of its own: events, each as a string.
// [] is a sign of life.
const (
	lineOpen      = "o\n"
	lineHeartbeat = "h\n"
)

// lined is what a protocol says, in such lines. It is comparable, as Protocol is.
type lined struct{ Protocol }

var _ gateway.Protocol = lined{}

func (l lined) Decode(frame gateway.Frame) ([]gateway.Command, error) {
	if !utf8.Valid(frame.Data) {
		return nil, gateway.InvalidData
	}
	var events sentEvents
	if err := json.Unmarshal(frame.Data, &events); err != nil {
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

// sentEvents are those of a body, read up to the first one too many. The library sends
// one at a time.
type sentEvents []string

const mostSent = 100

var errManySent = errors.New("too many events")

// UnmarshalJSON implements json.Unmarshaler.
func (e *sentEvents) UnmarshalJSON(text []byte) (err error) {
	*e, err = decodeList[string](text, mostSent, errManySent)
	return err
}

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

// units returns how long JavaScript finds a text: by that a client knows when its stream
// has become too long.
func units(text []byte) (n int) {
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		text = text[size:]
		if n++; r > 0xffff {
			n++
		}
	}
	return n
}
