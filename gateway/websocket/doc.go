// Package websocket carries sessions over WebSockets (RFC 6455). It compresses messages if
// the client and the configuration agree to that (RFC 7692).
//
// A Server makes HTTP handlers. A handler refuses a request by an HTTP status, or by the
// session's protocol if that tells refusals. Otherwise it gives the session a gateway.Conn.
// The data for a session comes as complete frames: a protocol made by Framed encodes each of
// them once for all its sessions.
//
// # Two engines
//
// Both engines use the same sender. They differ in how they read:
//
//	engine    reads                              for
//	epoll     reader, this package's own; a      Linux, connections without TLS,
//	          goroutine only while the client    also behind a PROXY header
//	          has something to say
//	portable  github.com/coder/websocket, and    TLS, every system, and
//	          a goroutine for each connection    websocket.engine: portable
//
// The tests run on both engines, and FuzzEngines compares epoll with portable on the same
// bytes. They differ where the library is lenient:
//
//	the client sends                             epoll  portable
//	a length in more bytes than it needs         1002   takes it
//	a compressed message that is cut short,      1007   takes what there is
//	or followed by something
//	the header of a message that is too long     1009   1009 when so many bytes have
//	                                                    come
//
// # The front
//
// A reconnect storm is mostly handshakes. On Linux without TLS and PROXY headers, the listener
// of Server.Front serves them itself: to connect and subscribe then takes a quarter to a third
// less CPU time than with net/http (BenchmarkWebSocket_Connect shows both). It parses them with
// http.ReadRequest, and only those that are complete and written as clients usually write them.
// It leaves everything else to net/http, unread: other requests, long or unusual heads, and
// clients that are slow to send one. FuzzFront compares what both make of the same bytes. A
// refusal ends the connection.
//
// # What a client may do
//
// A client must mask its frames, send text in UTF-8, keep control frames short and
// unfragmented, and use no reserved bits or opcodes. A close frame must have a valid code,
// and a reason in UTF-8. Otherwise the connection fails with 1002, or with 1007 for data that
// is not UTF-8 or cannot be inflated. A message may have twice limits.message_bytes, to allow
// for escapes, and 4 KB for the data around the payload; a longer one fails with 1009. The
// memory of unfinished messages counts towards limits.inbound_bytes, as does all else that
// is held for clients; a message that finds no room ends its connection with 1013. While a
// message is unfinished, at least 4 KB must arrive every 10 s, or the connection ends with
// 1001.
//
// The headers of a message's fragments may not take more than the message may. A client that
// sends many pings or pongs is read slowly, at most 6,400 of them a second.
//
// A ping is answered by a pong; of several pings in a row, perhaps only the last one. The
// data of an unfinished message, and control frames within it, are no sign of life.
//
// # How a connection ends
//
// The gateway sends a close frame and then ends the stream. It goes on reading for at most
// 2 s, so that the client receives both, and closes the connection when the client has
// closed it or has answered. It answers a client's close frame by the same one, and closes
// the connection. When the node stops, clients that do not answer delay it by lastPatience.
//
// A panic in a goroutine of a connection ends that connection with 1011. It is counted and
// logged.
//
// # Bounds
//
// For a peer that does not read, the kernel holds 16 KB of unsent data (64 KB on systems
// without TCP_NOTSENT_LOWAT), and a relay (portable) 32 KB. The rest waits in the session's
// outbox. An idle connection holds no buffer on epoll. On portable it holds 0.5 KB, plus the
// memory of the library, the goroutine and TLS.
//
// # Files
//
//	server      the handler, what connections share, the end
//	front       accepts connections, and serves handshakes without net/http
//	handshake   the request, and its answer; extension: permessage-deflate in it
//	frame       the wire format; frames encoded once
//	deflate     messages compressed once, inflated within bounds; stock: its few workers
//	receive     what both engines share of a connection; a client's message to its session
//	sender      writes; to an outlet: a relay (any connection), a socket (epoll)
//	portable    an engine
//	epoll       an engine: its connections; poller, socket: its system calls;
//	            reader: what a client's bytes mean; unfinished: their memory
package websocket
