// Package raw is the protocol without an envelope: a frame is a message's
// payload, on the one channel that the session was opened for.
//
//	from the client   a frame                 publishes it, as text or as binary
//	to the client     a message               its payload: binary in a binary frame, the rest in a text frame
//	                  a refused publish       closes with 1008, 1009 if it is too large
//	                  one not confirmed       closes with 1013
//	                  a gap                   closes with 4010, unless gaps are ignored
//	                  an end of subscription  closes with 4009, 1008 if a rule did it
//	                  anything else           is not told
package raw

import (
	"bytes"
	"unicode/utf8"

	"tidegate/broker"
	"tidegate/gateway"
)

// Protocol is the raw protocol.
type Protocol struct {
	IgnoreGaps bool // go on after a gap rather than end the session
}

var _ gateway.Protocol = Protocol{}

// Name returns "raw".
func (Protocol) Name() string { return "raw" }

// Decode reads a frame as a publish to the session's own channel. Text that is
// not UTF-8 ends the session.
func (Protocol) Decode(frame gateway.Frame) ([]gateway.Command, error) {
	kind := broker.Text
	switch {
	case frame.Binary:
		kind = broker.Binary
	case !utf8.Valid(frame.Data):
		return nil, gateway.InvalidData
	}
	payload := append([]byte{}, frame.Data...)
	return []gateway.Command{gateway.Publish{Payload: payload, Kind: kind}}, nil
}

// Encode writes a message as its payload. What a raw client must know, and no frame can
// tell, is an error, which ends the session.
func (p Protocol) Encode(event gateway.Event) (gateway.Frame, error) {
	switch e := event.(type) {
	case gateway.Message:
		return encodeMessage(e.Message), nil
	case gateway.Gap:
		return gateway.Frame{}, p.gap()
	case gateway.Subscribed:
		if e.Resumed && !e.Recovered {
			return gateway.Frame{}, p.gap()
		}
	case gateway.Failure:
		return gateway.Frame{}, e.Code.Reason().With(e.Message)
	case gateway.Unsubscribed:
		return gateway.Frame{}, endOf(e)
	}
	return gateway.Frame{}, nil
}

// Farewell closes with the reason's own code and text.
func (Protocol) Farewell(r gateway.Reason) (code int, text string) { return r.Code, r.Text }

// encodeMessage shares the payload. A text frame must be UTF-8, whatever the
// message claims to be.
func encodeMessage(m *broker.Message) gateway.Frame {
	switch {
	case m.Payload == nil:
		return gateway.Frame{Data: []byte{}, Binary: m.Kind == broker.Binary}
	case m.Kind != broker.Binary && !utf8.Valid(m.Payload):
		return gateway.Frame{Data: bytes.ToValidUTF8(m.Payload, []byte("\ufffd"))}
	}
	return gateway.Frame{Data: m.Payload, Binary: m.Kind == broker.Binary}
}

func (p Protocol) gap() error {
	if p.IgnoreGaps {
		return nil
	}
	return gateway.Missed
}

// endOf returns why a session without its channel ends.
func endOf(e gateway.Unsubscribed) error {
	reason := gateway.Disconnected
	if e.Code != "" {
		reason = e.Code.Reason()
	}
	if e.Reason != "" {
		reason = reason.With(e.Reason)
	}
	return reason
}
