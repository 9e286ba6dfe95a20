package centrifuge

import (
	"unicode/utf8"

	"tidegate/gateway"
)

// Format is how messages are written.
type Format uint8

const (
	JSON     Format = iota // objects, one on a line
	Protobuf               // each behind its length
)

// Protocol is the client protocol in one of its formats.
type Protocol struct{ Format Format }

var _ gateway.Protocol = Protocol{}

// Name returns "centrifuge".
func (Protocol) Name() string { return "centrifuge" }

// Decode reads the commands of a frame. One that cannot be read ends the session, as
// the SDKs expect it; one that is read and cannot be done is Malformed.
func (p Protocol) Decode(frame gateway.Frame) ([]gateway.Command, error) {
	switch {
	case p.Format == Protobuf:
		return decodeProtobuf(frame.Data)
	case !utf8.Valid(frame.Data):
		return nil, gateway.InvalidData
	}
	return decodeJSON(frame.Data)
}

// Encode writes one event.
func (p Protocol) Encode(event gateway.Event) (gateway.Frame, error) {
	reply, err := replyTo(event, p.Format)
	if err != nil || reply == nil {
		return gateway.Frame{}, err
	}
	if p.Format == Protobuf {
		data, err := appendProtobuf(reply)
		return gateway.Frame{Data: data, Binary: true}, err
	}
	return gateway.Frame{Data: appendReply(make([]byte, 0, sizeOf(reply)), reply)}, nil
}
