package websocket

import (
	"encoding/binary"
	"math"

	"tidegate/gateway"
)

// A WebSocket frame (RFC 6455, section 5.2):
//
//	bytes  meaning
//	1      0x80 (the message ends here), 0x40 if it is compressed, and the opcode
//	1      0x80 from a client, since a key follows; and the length of the payload:
//	       up to 125 as it is, 126: in the next 2 bytes, 127: in the next 8
//	0 to 8 that length, big-endian, in as few bytes as hold it
//	4      the key, from a client: byte i of the payload is XORed with byte i mod 4 of it
//	...    the payload
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xa

	final      = 0x80
	rsv1       = 0x40 // the message is compressed; on its first frame (RFC 7692, section 6)
	rsv2, rsv3 = 0x20, 0x10
	opcodeMask = 0x0f
	isControl  = 0x08 // the bit of an opcode that marks a control frame

	maskBit = 0x80 // in the byte of the length

	maxControl = 125 // most bytes of a control frame's payload
	minHeader  = 6   // of a client's frame
	maxHeader  = 14
)

// Framed returns a protocol that encodes what p encodes as complete WebSocket frames, so
// that the bytes on the wire are made once for all sessions with that protocol. If p encodes
// a Heartbeat as nothing, Framed encodes it as a ping.
func Framed(p gateway.Protocol) gateway.Protocol { return framed{p} }

// framed is comparable if its Protocol is.
type framed struct{ gateway.Protocol }

// as returns frame with all its properties, but with the given bytes on the wire as its
// data.
func as(frame gateway.Frame, bytes []byte) gateway.Frame {
	frame.Data, frame.Binary = bytes, true
	return frame
}

func (f framed) Encode(event gateway.Event) (gateway.Frame, error) {
	frame, err := f.Protocol.Encode(event)
	if err != nil {
		return gateway.Frame{}, err
	}
	if frame.Data == nil {
		if _, ok := event.(gateway.Heartbeat); ok {
			return gateway.Frame{Data: frameOf(opPing, nil), Binary: true}, nil
		}
		return gateway.Frame{}, nil
	}
	if frame.Own {
		return as(frame, frameIn(opcodeOf(frame), frame.Data)), nil
	}
	return as(frame, frameOf(opcodeOf(frame), frame.Data)), nil
}

func opcodeOf(frame gateway.Frame) byte {
	if frame.Binary {
		return opBinary
	}
	return opText
}

// frameOf returns a complete frame, unmasked as a server's. The opcode may be combined with
// rsv1.
func frameOf(opcode byte, payload []byte) []byte {
	frame := make([]byte, 0, maxHeader+len(payload))
	return append(appendFrameHeader(frame, opcode, len(payload)), payload...)
}

// frameIn is like frameOf, but reuses the memory of payload if it has enough capacity.
func frameIn(opcode byte, payload []byte) []byte {
	var room [maxHeader]byte
	header := appendFrameHeader(room[:0], opcode, len(payload))
	if cap(payload)-len(payload) < len(header) {
		return frameOf(opcode, payload)
	}
	frame := payload[:len(header)+len(payload)]
	copy(frame[len(header):], payload)
	copy(frame, header)
	return frame
}

func appendFrameHeader(frame []byte, opcode byte, n int) []byte {
	frame = append(frame, final|opcode)
	switch {
	case n <= maxControl:
		return append(frame, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(frame, 126), uint16(n))
	default:
		return binary.BigEndian.AppendUint64(append(frame, 127), uint64(n))
	}
}

// closeFrame returns the close frame that tells the peer why the connection ends.
func closeFrame(reason gateway.Reason) []byte {
	payload := binary.BigEndian.AppendUint16(nil, uint16(reason.Code))
	payload = append(payload, reason.Text...)
	return frameOf(opClose, payload[:min(len(payload), maxControl)])
}
