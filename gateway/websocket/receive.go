package websocket

import (
	"time"
	"unicode/utf8"

	"tidegate/gateway"
	"tidegate/gateway/internal/pause"
)

// lingerPatience is how long a peer may take to answer a close frame and to close.
const lingerPatience = 2 * time.Second

// receive handles a client's message. An error ends the session.
func (s *shared) receive(session *gateway.Session, frame gateway.Frame) error {
	if !frame.Binary && !utf8.Valid(frame.Data) {
		return gateway.InvalidData
	}
	return session.Receive(s.life, frame) // the request's context ended with the handler
}

// controls counts a client's control frames. They are no commands, which have a rate, so after
// every pausedControls of them the client is read no further for controlPause: a client that
// sends nothing else would otherwise keep a processor busy.
type controls uint8

const (
	pausedControls = 64 // a divisor of 256, because the count overflows
	controlPause   = 10 * time.Millisecond
)

// note counts a control frame, and may wait. It must not be called concurrently for one client.
func (n *controls) note(s *shared, session *gateway.Session) {
	if *n++; *n%pausedControls == 0 {
		session.Rest()
		pause.For(s.life, controlPause)
	}
}
