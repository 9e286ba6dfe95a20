// Package native implements Tidegate's own protocol: one JSON object per text frame.
//
// Commands from the client. Each may have an id, a 64-bit integer, which its reply repeats.
// A command without an id gets a reply only if it fails; a ping always gets one. A field
// that is null counts as missing, except for data.
//
//	type         fields
//	auth         token
//	subscribe    channel, [cursor], [recent: number of past messages to get first, without
//	             a cursor], [echo: false leaves out the client's own messages]
//	unsubscribe  channel
//	publish      channel, one of data (any JSON), text, binary (base64); [event], [tags], [key],
//	             [transient: true keeps it out of the history], [traceparent]
//	presence     channel
//	history      channel, [cursor], [limit]
//	ping
//
// Events from the gateway. Fields come in the order of the table. Those in brackets are
// left out if they have no value.
//
//	type              fields
//	welcome           [id], session, [user], node, [ping: seconds between pings], [data]
//	subscribed        [id], channel, [cursor], [recovered: only if asked with a cursor], [data]
//	unsubscribed      [id], channel; without id: [code], [reason]
//	published         [id], [cursor]
//	message           channel, data or text or binary, [event], [tags], [user], [info],
//	                  [cursor], [time: ms since 1970]
//	presence          [id], channel, members: [{user, [session], [info], sessions}]
//	history           [id], channel, messages: as above, [cursor], [recovered: false if older ones are gone]
//	join              channel, user, [session], [info]
//	leave             channel, user, [session]
//	presence_changed  channel: more members came or left than are told one by one
//	gap               channel
//	error             [id] or else [channel], code, message
//	pong              [id]
//	reconnect         within: seconds
package native

import (
	"unicode/utf8"

	"tidegate/gateway"
)

// Subprotocol is the WebSocket subprotocol that a client may request in its handshake.
const Subprotocol = "tidegate.v1"

// Protocol implements the native protocol. It has no state.
type Protocol struct{}

var _ gateway.Protocol = Protocol{}

// Name returns "native".
func (Protocol) Name() string { return "native" }

// Decode parses one command. A binary frame, or text that is not UTF-8, is an error and
// ends the session. Any other frame that is not a command is returned as Malformed.
func (Protocol) Decode(frame gateway.Frame) ([]gateway.Command, error) {
	switch {
	case frame.Binary:
		return nil, gateway.Unsupported.With("the native protocol speaks in text frames")
	case !utf8.Valid(frame.Data):
		return nil, gateway.InvalidData
	}
	return []gateway.Command{decode(frame.Data)}, nil
}

// Encode encodes one event. A Heartbeat gets no frame, because transports have their own pings.
func (Protocol) Encode(event gateway.Event) (gateway.Frame, error) {
	return gateway.Frame{Data: encode(event), Own: true}, nil
}

// Farewell returns the reason's own code and text.
func (Protocol) Farewell(r gateway.Reason) (code int, text string) { return r.Code, r.Text }
