package gateway

// Protocol is how a kind of client speaks: it turns frames into commands and
// events into frames. Implementations are comparable values without state of a
// session: a channel's audience is grouped by Protocol, and an event is encoded
// once for each group. All methods may be called concurrently.
//
// A Protocol may wrap another to frame its output for a transport, so that the
// bytes on the wire, too, are made once for a whole group.
type Protocol interface {
	// Name is a label of metrics: "native", "raw".
	Name() string

	// Decode reads one frame. What it returns keeps nothing of the frame's
	// memory. What it cannot read it returns as Malformed; an error ends the
	// session, with the error's Reason (see ReasonOf).
	Decode(Frame) ([]Command, error)

	// Encode writes an event as one frame. A frame without data (Data is nil)
	// means that the protocol does not say such a thing. An error ends the
	// session with the error's Reason: the protocol has no other way to say it. Where
	// the end of one subscription says it, see Frame.Last.
	Encode(Event) (Frame, error)

	// Farewell returns with what code and text a connection is closed for a reason,
	// where its transport has a way to say so. A WebSocket has: codes as RFC 6455,
	// section 7.4, allows them, and texts of at most MaxReasonText bytes.
	Farewell(Reason) (code int, text string)
}

// Frame is one message of a transport.
type Frame struct {
	Data   []byte
	Binary bool // as opposed to text, where the transport tells them apart
	Own    bool // the memory of Data, its capacity included, belongs to this frame alone: whatever wraps it may write there
	Others bool // of a Join or a Leave: it is not for the member's own sessions

	// Last says of a Gap's frame that the client leaves the channel with it, to
	// subscribe anew. A session that the server has put on the channel cannot do that:
	// it ends, with the Reason Missed, and the frame is not told. Either happens at
	// some moment of a few seconds, so that not all come back at once; until then the
	// session hears nothing of the channel.
	Last bool
}
