// Package gateway is the core of a node: sessions, what their clients ask for, and how
// the nodes of a cluster work together. It knows no HTTP, no wire format and no Redis;
// those come to it through four seams:
//
//	Conn       a client's connection       packages websocket, transport
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
//	Broker.Run ──> intake ──> Hub ──> Channel ──> Protocol.Encode ──> outbox ──> flushers ──> Conn.Write
//	                                 (order,     (once for each     (bounded;   (a few; all that
//	                                  gaps)       protocol)          never       waits, in one
//	                                                                 blocks)     system call)
//
// The channels are package internal/hub, which sees sessions through two small interfaces:
// a subscription is its Subscriber, and a join its Joiner. What waits for a session is
// package internal/outbox.
//
// What is missing, from the history to every client of a channel. Timeline (package
// internal/timeline) decides, the channel reads and sends:
//
//	Timeline.Next: Gap ──> repairUntilWhole ──> readMissing ──> deliverMissing ──> concludeRepair
//	(or missed, checkQuiet)                     (Ask)           (Merge, Follow)    (Conclude)
//
// A client that comes back, from its cursor to the present:
//
//	Session.enter ──> Join.Enter ──> resumption.run ──> proceed ──> Timeline.Step: Give ──> give ──> arrive
//	                  (what follows is in the hub)         ▲              │
//	                                                       └── provide <──┘ Read, Look, Await, Pause
//
// A member that comes to a channel (or leaves it), from the session to the audiences of all
// nodes. Package internal/attendance counts, the broker knows:
//
//	Channel.join ──> attend ──> Attendance.Came ──> state ──> Presence.Attend ──> intake
//	                            (stays of this      (one statement    (the broker    of each node
//	                             node)               at a time)        publishes)       │
//	outboxes <── Channel.tellChange <── come <── hear <── Attendance.Receive <──────────┘
//
// What a backend is told, at least once and in order. One node at a time delivers, the
// one that has the broker's lease for the line:
//
//	Presence.Attend ──> teller.deliver ──> receiver.deliver ──> Hooks.Tell, or Receiver.Tell
//	(puts it in line)   (Presence.Take)    (noticeOf)            (package webhook)
//
// The files of this package call each other downward. Three alone stand in a circle, since
// their types name each other: gateway.go (a node has sessions), session.go (a session has
// its node), and sessions.go (the list of them). Above these:
//
//	closing.go, telling.go         a session ends, and is told something
//	places.go, subscription.go     the channels that it is on
//	joining.go, subscribe.go       how it comes there
//	commands.go, opening.go, ...   what its client asks for, each in a file of its verb
//	errand.go, intake.go, new.go   what other nodes ask, what the broker tells, and the whole
//
// Who owns what. A session's commands are handled by its reading goroutine, one
// after the other, but what the broker is asked may be on its way when the next one
// begins: subscribes in a row are done together, by another goroutine, and
// publishes in a row go out in order without waiting for answers. What is to be
// written waits in its outbox, which has at most one writer at a time: a flusher; or,
// where there is little to write, the goroutine that has put it there; or, for a peer
// that does not keep up, a goroutine that lasts as long as that. An idle session has
// only the reading goroutine. Nothing that one session does waits for another's
// connection.
//
// The order of locks. A goroutine that holds a lock takes only locks that stand further
// down here. Package broker/lock has the mutexes; tests that are built with the tag
// lockorder end where one is taken out of order.
//
//	Expiring          sessions of which a token or a subscription ends soon
//	Joining           one channel at the broker. Held while the broker is asked, so that
//	                  the first to join and the last to leave do not overtake each other;
//	                  of several channels in the order of their names
//	MemoryPresence    the broker in memory, ...
//	Memory
//	MemoryChannel     ... held while a message is received, which makes the order
//	Telling           one partition of Redis. Held while its messages are received
//	Board             whether Redis can be used. Held while the hub is told
//	Channel           a channel's audience and past. Held while a message is put into the
//	                  outboxes, so that all see one order
//	Traced            what became of a message that is followed
//	Session           as whom a session acts
//	Places            its subscriptions
//	Shard             the channels of the hub
//	Attendance        who is where
//	Link              a link to Redis, ...
//	Partition         ... and what it subscribes
//	Questions         what this node has asked the others, ...
//	Answers           ... and what they have said
//	Connections       those of WebSocket clients
//	Sender            what one of them is sent, ...
//	Relay             ... and what of it the kernel has not taken
//
// Under the others no lock is taken but Group, of the goroutines in the background:
//
//	Sessions, Departing, Dialects, Publishing, Gathering, InLine, Outbox, Line, Archive,
//	Rates, Bucket, Words, Nodes,
//	Lane, Connection, Masters, Trust, Processes, Flights, Refusals, Register,
//	Group
//
// What a channel with history promises (promise.go has the whole of it). Its messages
// have contiguous positions, so that the node notices what it was not told, reads it
// from the history once, and sends it in order to all its sessions. A session that
// comes with a cursor gets what it missed, then what is live, without a gap and without
// a double. What cannot be had any more is told: Gap, or Subscribed without Recovered.
package gateway
