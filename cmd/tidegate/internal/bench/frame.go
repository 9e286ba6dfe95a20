package bench

import "encoding/binary"

// Opcodes (RFC 6455, section 5.2).
const (
	textFrame  = 0x1
	closeFrame = 0x8
	pingFrame  = 0x9
	pongFrame  = 0xa

	compressedBit = 0x40 // RSV1, set with an opcode if the message is compressed (RFC 7692, section 6)

	longestFrame = 1 << 20
)

// appendMasked appends a frame with the masking key 0. This saves the client the masking,
// while the gateway has to do the same work as for any other key.
func appendMasked(to []byte, opcode byte, payload []byte) []byte {
	const final, masked = 0x80, 0x80
	to = append(to, final|opcode)
	if n := len(payload); n <= 125 {
		to = append(to, masked|byte(n))
	} else if n <= 1<<16-1 {
		to = binary.BigEndian.AppendUint16(append(to, masked|126), uint16(n))
	} else {
		to = binary.BigEndian.AppendUint64(append(to, masked|127), uint64(n))
	}
	return append(append(to, 0, 0, 0, 0), payload...)
}
