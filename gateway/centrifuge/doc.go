// Package centrifuge implements the client protocol of the Centrifuge family, as defined by
// github.com/centrifugal/protocol and its SDKs, on the same channels as all other clients.
// The messages are those of internal/wire: in JSON, one per line, or in Protobuf, each
// prefixed by its length as a varint.
//
// A session begins with a connect. Until that is answered, no other command is executed. The
// commands map to the gateway's as follows:
//
//	connect, refresh       Auth
//	subscribe              Subscribe; epoch and offset are the cursor "epoch:offset";
//	                       recover without a position asks for the last publication
//	publish                Publish; data that is JSON is JSON, else text, else binary
//	presence[_stats]       Presence
//	history                History
//	ping, {}               Ping; nothing: {} is the reply to the gateway's ping
//	unsubscribe            Unsubscribe
//	sub_refresh            Renew
//	rpc                    Call
//	send                   nothing: messages without a channel have no receiver
//
// Missed messages follow the reply to a subscribe as separate publications, and the offset
// of the reply is the client's own. So the client knows what it has received, whenever the
// connection breaks.
//
// A subscription that asks for deltas gets each publication as a delta to the previous one,
// or in full: in Protobuf as bytes, in JSON as a string. See package internal/fossil.
//
// A client on Server-Sent Events or HTTP streaming sends its first commands in the request
// for the stream. It sends later ones in requests to /emulation, on any node. The session
// of the connect reply, which identifies it there, is the session's id and secret key.
//
// A Protocol has no state. So the ID of a command carries, besides the client's number,
// what the reply needs to know of the command: see ticket.
package centrifuge
