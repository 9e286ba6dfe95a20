// Package websocket carries sessions over WebSockets (RFC 6455), with messages
// compressed where client and configuration agree (RFC 7692).
//
// A Server makes handlers. A handler answers a request that is refused by an HTTP
// status, unless its protocol tells refusals, and else gives the session a
// gateway.Conn. What a session is sent comes as
// whole frames, which a protocol made by Framed encodes once for all its sessions.
//
// # Two engines
//
// Both have the same sender. They differ in who reads:
//
//	engine    reads                              for
//	epoll     reader, this package's own; a      Linux, connections without TLS,
//	          goroutine only while the client    also behind a PROXY header
//	          has something to say
//	portable  github.com/coder/websocket, and    TLS, every system, and
//	          a goroutine for each connection    websocket.engine: portable
//
// The engine portable is the oracle of the other: the tests run on both, and
// FuzzEngines feeds both the same bytes. They differ where the library is lenient:
//
//	the client sends                             epoll  portable
//	a length in more bytes than it needs         1002   takes it
//	a compressed message that is cut short,      1007   takes what there is
//	or followed by something
//	the header of a message that is too long     1009   1009 when so many bytes have
//	                                                    come
//
// # What a client may do
//
// A client's frames are masked; text is UTF-8; control frames are whole and short;
// reserved bits and opcodes are not used; a close frame has a code that may be sent,
// and a reason in UTF-8. Else the connection fails: 1002, or 1007 for what is not
// UTF-8 or cannot be inflated. A message is as long as limits.message_bytes allows,
// twice for escapes and 4 KB for what is around it, else 1009. Messages that have
// begun and not ended share limits.inbound_bytes with all else that is held for
// clients: one that finds no room ends its connection with 1013. A message that has
// begun goes on, by 4 KB in 10 s at least, or the connection ends with 1001.
//
// A ping is answered by a pong; of several pings in a row, perhaps only the last. A
// message that does not end is no sign of life, whatever comes in between.
//
// # How a connection ends
//
// The gateway sends a close frame, and after it the end of the stream. It reads on
// for 2 s at most, so that the client gets both, and closes when the client has
// closed, or answered. A close frame of the client's is answered by the same, and the
// connection closed. When the node stops, clients that answer nothing hold it up for
// lastPatience.
//
// A panic in a goroutine of a connection ends that connection with 1011; it is
// counted and logged.
//
// # Bounds
//
// For a peer that does not read, the kernel holds 16 KB unsent, on systems without
// TCP_NOTSENT_LOWAT 64 KB, and a relay (portable) 32 KB; what is more waits in the
// session's outbox. A connection that is idle holds no buffer on epoll; on portable
// 0.6 KB beside the library's and the goroutine's own, with TLS also those of TLS.
//
// # Files
//
//	server      the handler, what connections share, the end
//	handshake   the request, and its answer; extension: permessage-deflate in it
//	frame       the wire format; frames encoded once
//	deflate     messages compressed once, inflated within bounds; stock: its few workers
//	receive     a client's message to its session
//	sender      writes; to an outlet: a relay (any connection), a socket (epoll)
//	portable    an engine
//	epoll       an engine: its connections; poller, socket: its system calls;
//	            reader: what a client's bytes mean; unfinished: their memory
package websocket
