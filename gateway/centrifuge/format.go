package centrifuge

// Format is how messages are written.
type Format uint8

const (
	JSON     Format = iota // objects, one on a line
	Protobuf               // each behind its length
)

// Framing is how a reply stands among others on its transport.
type Framing uint8

const (
	Messages Framing = iota // each in a message of the transport's own
	Lines                   // in a stream: JSON on a line, Protobuf behind its length
	Events                  // each the data of a Server-Sent Event; JSON alone
)
