// Package hub is the channels of one node: who listens to each of them here, what is sent
// to whom, and in which order. It repairs what the node has missed, and brings to who comes
// back what was published meanwhile. It knows the broker, and no commands, no protocols,
// no rights and no connections: a session shows it the few things of subscriber.go.
//
// What a reader meets first:
//
//	Hub            the node's channels by name. The broker's messages come in by Receive
//	Channel        one of them: its audience, and what is known of its history
//	Subscription   a session's place on a channel, from Reserve to Release
//	Join           a session's way into the audience: Begin, Hub.MakeLive, Enter
//
// What a session shows:
//
//	Subscriber     who it is, its outbox, and how it goes
//	Joiner         on the way: how it is answered, and when it has a connection
//	Encoder        how its protocol says messages and news
//
// The ordinary way of a message reads downward:
//
//	Hub.Receive ──> Channel.receive ──> deliver ──> Dialect.frameOf ──> send ──> Outbox.Push… ──> Line.Park
//
// Off it hang, each in a file of its own: repair.go (what was missed), resume.go (who comes
// back), quiet.go (a last message that was missed), deltas.go (who is told what differs),
// following.go (a message that is traced) and attending.go (who is counted). Which events may
// leave a client without a message, and who tells it, stands in package gateway, promise.go.
package hub
