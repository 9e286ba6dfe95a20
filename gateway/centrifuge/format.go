package centrifuge

// Format is the encoding of messages.
type Format uint8

const (
	JSON     Format = iota // objects, one per line
	Protobuf               // each prefixed by its length
)

// Framing is how replies are separated on their transport.
type Framing uint8

const (
	Messages Framing = iota // each is a message of the transport
	Lines                   // in a stream: JSON ends with a newline, Protobuf has its length as a prefix
	Events                  // each is the data of a Server-Sent Event; only for JSON
)
