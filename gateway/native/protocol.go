// Package native is Tidegate's own protocol: one JSON object in one text frame.
//
// What a client says. Every command may carry an id, an integer of 64 bits that its
// answer repeats; a command without one is answered only if it fails, except for a
// ping, which always is. A member that is null counts as missing, except for data.
//
//	type         members
//	auth         token
//	subscribe    channel, [cursor], [recent: so many of the last messages first, without
//	             a cursor], [echo: false leaves out one's own messages]
//	unsubscribe  channel
//	publish      channel, one of data (any JSON), text, binary (base64); [event], [tags], [key],
//	             [transient: true leaves it out of the history]
//	presence     channel
//	history      channel, [cursor], [limit]
//	ping
//
// What the gateway says. Members stand in the order of the table; those in
// brackets are left out when there is nothing to say.
//
//	type          members
//	welcome       [id], session, [user], node, [ping: seconds between pings]
//	subscribed    [id], channel, [cursor], [recovered: only if asked with a cursor]
//	unsubscribed  [id], channel; without id: [code], [reason]
//	published     [id], [cursor]
//	message       channel, data or text or binary, [event], [tags], [user], [info],
//	              [cursor], [time: ms since 1970]
//	presence      [id], channel, members: [{user, [info], sessions}]
//	history       [id], channel, messages: as above, [cursor], [recovered: false if older ones are gone]
//	join          channel, user, [info]
//	leave         channel, user
//	gap           channel
//	error         [id] or else [channel], code, message
//	pong          [id]
//	reconnect     within: seconds
package native

import (
	"unicode/utf8"

	"tidegate/gateway"
)

// Subprotocol is the name that a WebSocket client may ask for in its handshake.
const Subprotocol = "tidegate.v1"

// Protocol is the native protocol. All its values are the same.
type Protocol struct{}

var _ gateway.Protocol = Protocol{}

// Name returns "native".
func (Protocol) Name() string { return "native" }

// Decode reads one command. Binary frames, and text that is not UTF-8, end the
// session; anything else that is no command is Malformed.
func (Protocol) Decode(frame gateway.Frame) ([]gateway.Command, error) {
	switch {
	case frame.Binary:
		return nil, gateway.Unsupported.With("the native protocol speaks in text frames")
	case !utf8.Valid(frame.Data):
		return nil, gateway.InvalidData
	}
	return []gateway.Command{decode(frame.Data)}, nil
}

// Encode writes one event. A Heartbeat has no frame: transports have pings of
// their own.
func (Protocol) Encode(event gateway.Event) (gateway.Frame, error) {
	return gateway.Frame{Data: encode(event), Own: true}, nil
}

// Farewell closes with the reason's own code and text.
func (Protocol) Farewell(r gateway.Reason) (code int, text string) { return r.Code, r.Text }
