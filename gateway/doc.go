// Package gateway is the core of a node: sessions, the commands of their clients, and how
// the nodes of a cluster work together. It does not depend on HTTP, wire formats or Redis;
// four interfaces connect it to them:
//
//	Conn       a client's connection       packages websocket, transport
//	Protocol   how a client speaks         packages native, raw
//	Broker     how nodes reach each other  package broker
//	History    what a channel remembers    package broker
//
// Inbound, from a client to the broker:
//
//	Session.Receive ──> Protocol.Decode ──> Session.handle ──> Gateway.Publish ──> Broker.Publish
//	             (frame to commands)   (rate, rules)     (rules, size)
//	                                                          ▲
//	                                   HTTP API ──────────────┘
//
// Outbound, from the broker to every subscriber of a channel:
//
//	Broker.Run ──> intake ──> Hub ──> Channel ──> Protocol.Encode ──> outbox ──> flushers ──> Conn.Write
//	                                 (order,     (once for each     (bounded;   (a few; all that
//	                                  gaps)       protocol)          never       waits, in one
//	                                                                 blocks)     system call)
//
// The channels are in package internal/hub, which sees sessions through two small
// interfaces: a subscription is its Subscriber, and a join its Joiner. What waits to be
// written to a session is in package internal/outbox.
//
// Repair: missing messages, from the history to every subscriber of a channel. Timeline
// (package internal/timeline) decides; the repair reads and sends:
//
//	Timeline.Next: Gap ──> repair.runUntilWhole ──> readMissing ──> deliverMissing ──> conclude
//	(or missed, CheckQuiet)                         (Ask)           (Merge, Follow)    (Conclude)
//
// Resume: a client that returns, from its cursor to the present:
//
//	Session.enter ──> Join.Enter ──> resumption.run ──> proceed ──> Timeline.Step: Give ──> give ──> join
//	                  (what follows is in the hub)         ▲              │
//	                                                       └── provide <──┘ Read, Look, Await, Pause
//
// Presence: a member that joins or leaves a channel, from the session to the audiences of
// all nodes. Package internal/attendance counts the sessions of this node; the broker
// stores the state of the cluster:
//
//	Subscription.join ──> attend ──> Attendance.Came ──> state ──> Presence.Attend ──> intake
//	                                 (stays of this      (one statement    (the broker    of each node
//	                                  node)               at a time)        publishes)       │
//	outboxes <── Channel.tellChange <── come <── hear <── Attendance.Receive <───────────────┘
//
// Notices to a backend, delivered at least once and in order. One node at a time delivers:
// the one that holds the broker's lease for the queue:
//
//	Presence.Attend ──> teller.deliver ──> notices.deliver ──> Hooks.Tell, or Receiver.Tell
//	(puts it in line)   (Presence.Take)    (noticeOf)          (package webhook)
//
// The files of this package call each other in one direction only. The exceptions are
// gateway.go (a node has sessions), session.go (a session has its node), and sessions.go
// (the list of sessions), whose types refer to each other. On top of these:
//
//	closing.go, telling.go         how a session ends, and how it is told something
//	places.go, subscription.go     its subscriptions
//	joining.go, subscribe.go       how it joins channels
//	commands.go, opening.go, ...   the commands of its client, each in a file of its own
//	clustering.go, intake.go, ...  requests of other nodes, input from the broker, and setup
//
// Ownership. The reading goroutine of a session handles its commands one after the other,
// but a command may begin while the broker still works on the one before: another goroutine
// processes consecutive subscribes together, and consecutive publishes are sent in order
// without waiting for their answers. One more sends what the client has missed, as far as that
// was not at hand with the reply. Frames to be written wait in the session's outbox,
// which has at most one writer at a time: a flusher; or, if there is little to write, the
// goroutine that added the frames; or, while the peer does not keep up, a goroutine of its
// own. An idle session has only the reading goroutine. No session ever waits for the
// connection of another.
//
// The order of locks. A goroutine that holds a lock may take only locks further down this
// list. Package broker/lock has the mutexes; tests built with the tag lockorder fail where
// a lock is taken out of order.
//
//	Expiring          the sessions with a token or a subscription that ends soon
//	Joining           one channel at the broker. Held while the broker is asked, so that
//	                  the first join and the last leave cannot overtake each other.
//	                  Several channels are locked in the order of their names
//	MemoryPresence    the in-memory broker, ...
//	Memory
//	MemoryChannel     ... held while a message is received, to keep the order
//	Telling           one partition of Redis. Held while its messages are received
//	Board             whether Redis is usable. Held while the hub is told
//	Channel           a channel's audience and past. Held while a message is put into the
//	                  outboxes, so that all subscribers see the same order
//	Traced            the record of a traced message
//	Session           the principal of a session
//	Places            the subscriptions of a session
//	Shard             the channels of the hub
//	Attendance        which sessions are on which channels
//	Link              a link to Redis, ...
//	Partition         ... and its subscriptions
//	Questions         what this node has asked the other nodes, ...
//	Answers           ... and their answers
//	Connections       the connections of WebSocket clients
//	Sender            the data to be sent on one of them, ...
//	Relay             ... and the part that the kernel has not accepted yet
//
// A goroutine that holds one of the following takes no lock but Group, of background
// goroutines:
//
//	Sessions, Departing, Dialects, Publishing, Gathering, InLine, Outbox, Line, Archive,
//	Rates, Bucket, Nodes,
//	Lane, Connection, Masters, Trust, Processes, Flights, Refusals, Register,
//	Group
//
// What a channel with history promises (promise.go has the full text). Its messages have
// contiguous positions, so the node notices when one is missing, reads it from the history
// once, and sends it in order to all its sessions. A session that resumes with a cursor gets
// the messages it missed, then the live ones, without gaps or duplicates. It is told if
// messages are lost for good: by a Gap, or by a Subscribed without Recovered.
package gateway
