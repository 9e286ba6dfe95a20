package gateway

// Protocol is what a kind of client speaks: it decodes frames into commands and encodes
// events into frames. Implementations are comparable values that hold no state of a session:
// a channel groups its subscribers by Protocol, and encodes an event once for each group.
// All methods must be safe for concurrent use.
//
// A Protocol may wrap another one to add the framing of a transport, so that a group shares
// the bytes on the wire, too.
type Protocol interface {
	// Name is the protocol's label in metrics, such as "native" or "raw".
	Name() string

	// Decode decodes one frame. The commands must not refer to the frame's memory. What
	// Decode cannot parse becomes a Malformed. An error ends the session with the error's
	// Reason (see ReasonOf).
	Decode(Frame) ([]Command, error)

	// Encode encodes an event as one frame. A frame with nil Data means that the protocol
	// does not send such events. An error ends the session with the error's Reason: it is
	// for events that the client must learn of and the protocol cannot express. If ending
	// one subscription is enough, see Frame.Last.
	Encode(Event) (Frame, error)

	// Farewell returns the code and text with which a connection is closed for a reason, if
	// its transport can send them. A WebSocket can: it allows the codes of RFC 6455, section
	// 7.4, and texts of at most MaxReasonText bytes.
	Farewell(Reason) (code int, text string)
}

// Frame is one message of a transport.
type Frame struct {
	Data   []byte
	Binary bool // binary rather than text, if the transport makes a difference
	Own    bool // Data, up to its capacity, is not shared: a wrapping Protocol may write to it
	Others bool // for a Join or a Leave: do not send it to the member's own sessions

	// Last is set in the frame of a Gap if the client leaves the channel with it in order
	// to subscribe again. A session that the server has subscribed cannot do that: it ends
	// with the Reason Missed, and the frame is not sent. Either happens at a random moment
	// within a few seconds, so that not all clients return at once; until then the session
	// receives nothing from the channel.
	Last bool
}
