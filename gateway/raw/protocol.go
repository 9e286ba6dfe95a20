// Package raw implements the protocol without an envelope: a frame is the payload of a
// message, on the one channel that the session was opened for.
//
//	from the client   a frame                 is published, as text or as binary
//	to the client     a message               its payload, in a binary frame if it is binary, else in a text frame
//	                  a refused publish       closes with 1008, or 1009 if it is too large
//	                  an unconfirmed publish  closes with 1013
//	                  a gap                   closes with 4010, unless gaps are ignored
//	                  an unsubscribe          closes with 4009, or 1008 if a rule caused it
//	                  anything else           is not sent
package raw

import (
	"bytes"
	"unicode/utf8"

	"tidegate/broker"
	"tidegate/gateway"
)

// Protocol implements the raw protocol.
type Protocol struct {
	IgnoreGaps bool // ignore gaps instead of ending the session
}

var _ gateway.Protocol = Protocol{}

// Name returns "raw".
func (Protocol) Name() string { return "raw" }

// Decode returns a publish to the session's channel. Text that is not UTF-8 is an error and
// ends the session.
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

// Encode returns the payload of a message as a frame. An event that the client must know of
// but that no frame can express is returned as an error, which ends the session.
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

// Farewell returns the reason's own code and text.
func (Protocol) Farewell(r gateway.Reason) (code int, text string) { return r.Code, r.Text }

// encodeMessage shares the payload's memory with the frame. It replaces invalid UTF-8 in a
// text frame, whatever kind the message claims to be.
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

// endOf returns the reason for which a session ends that has lost its channel.
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
