// Package gateway is the core of a node: sessions, channels, fan-out and
// recovery. It knows no HTTP, no wire format and no Redis; those come to it
// through four seams:
//
//	Conn       a client's connection       package transport
//	Protocol   how a client speaks         packages native, raw
//	Broker     how nodes reach each other  package broker
//	History    what a channel remembers    package broker
//
// The line in, from a client to the broker:
//
//	Session.Receive ──> Protocol.Decode ──> Session.handle ──> Gateway.Publish ──> Broker.Publish
//	             (frame to commands)   (rate, rules)     (rules, size)
//	                                                          ▲
//	                                   HTTP API ──────────────┘
//
// The line out, from the broker to every client of a channel:
//
//	Broker.Run ──> hub.Receive ──> channel ──> Protocol.Encode ──> outbox ──> flushers ──> Conn.Write
//	                              (order,     (once for each     (bounded;   (a few; all that
//	                               gaps)       protocol)          never       waits, in one
//	                                                              blocks)     system call)
//
// What is missing, from the history to every client of a channel. Timeline (package
// internal/timeline) decides, the channel reads and sends:
//
//	Timeline.Next: Gap ──> repairUntilWhole ──> readMissing ──> deliverMissing ──> concludeRepair
//	(or missed, checkQuiet)                     (Ask)           (Merge, Follow)    (Conclude)
//
// A client that comes back, from its cursor to the present:
//
//	Session.enter ──> resumption.run ──> proceed ──> Timeline.Step: Give ──> give ──> arrive
//	(reply, reader)                         ▲              │
//	                                        └── provide <──┘ Read, Look, Await, Pause
//
// Who owns what. A session's commands are handled by its reading goroutine, one
// after the other, but what the broker is asked may be on its way when the next one
// begins: subscribes in a row are done together, by another goroutine, and
// publishes in a row go out in order without waiting for answers. What is to be
// written waits in its outbox, which has at most one writer at a time: a flusher,
// or whoever has just found that there is little to write; or, for a peer that does
// not keep up, a goroutine that lasts as long as that. An idle session has only the
// reading goroutine. Nothing that one session does waits for another's connection.
//
// What a channel with history promises (promise.go has the whole of it). Its messages
// have contiguous positions, so that the node notices what it was not told, reads it
// from the history once, and sends it in order to all its sessions. A session that
// comes with a cursor gets what it missed, then what is live, without a gap and without
// a double. What cannot be had any more is told: Gap, or Subscribed without Recovered.
package gateway
