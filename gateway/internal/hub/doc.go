// Package hub manages the channels of one node: which sessions are subscribed to each
// channel, what is sent to whom, and in which order. It repairs what the node has missed,
// and sends a client that comes back what was published meanwhile. It depends on the broker.
// It knows nothing of commands, protocols, permissions or connections: a session implements
// the small interfaces of subscriber.go.
//
// The main types:
//
//	Hub            the node's channels by name. Receive takes messages from the broker
//	Channel        one channel: its audience, and what is known of its history
//	Subscription   a session's place on a channel, from Reserve to Release
//	Join           adds a session to the audience: Begin, Hub.MakeLive, Enter
//
// The interfaces of a session:
//
//	Subscriber     its identity, its outbox, and how to end it
//	Joiner         used while it joins: replies to its client, waits for its connection
//	Encoder        encodes messages and news for its protocol
//
// The usual path of a message:
//
//	Hub.Receive ──> Channel.receive ──> deliver ──> Dialect.frameOf ──> send ──> Outbox.Push… ──> Line.Park
//
// The other concerns have a file each: repair.go (missed messages), resume.go (clients that
// come back), quiet.go (a missed last message), deltas.go (clients that receive differences
// only), following.go and delivery.go (tracing a message) and attending.go (counting members). The file
// promise.go of package gateway lists the events that may leave a client without a message,
// and who tells the client.
package hub
