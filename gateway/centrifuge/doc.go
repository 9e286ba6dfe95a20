// Package centrifuge speaks the client protocol of the Centrifuge family, as its public
// definition (github.com/centrifugal/protocol) and its SDKs have it, on the same
// channels as every other client. The messages are those of internal/wire, in JSON, one
// on a line, or in Protobuf, each behind its length as a varint.
//
// A session begins with a connect; until that is answered nothing else is done. What
// the commands are to the gateway:
//
//	connect, refresh       Auth
//	subscribe              Subscribe; epoch and offset are the cursor "epoch:offset";
//	                       recover without a position asks for the last publication
//	publish                Publish; data that is JSON is JSON, else text, else binary
//	presence[_stats]       Presence
//	history                History
//	ping, {}               Ping; nothing: the answer to a ping of ours
//	unsubscribe            Unsubscribe
//	sub_refresh            Renew
//	rpc                    Call
//	send                   nothing: nobody takes what is about no channel
//
// What was missed follows the reply to a subscribe as publications of their own, and the
// reply's offset is the client's own: whenever the connection breaks, the client knows
// what it has got.
//
// A subscription that asks for deltas hears each publication as what differs from the one
// before, or in full: in Protobuf as bytes, in JSON in a string. See package
// internal/fossil.
//
// A client on Server-Sent Events or HTTP streaming says its first commands with the
// request of the stream, and the others by requests to /emulation, on any node: what the
// connect reply gives it as its session is the session's id and secret key.
//
// A Protocol has no state, so an ID carries beside the client's number what the answer
// must know of the question: see ticket.
package centrifuge
