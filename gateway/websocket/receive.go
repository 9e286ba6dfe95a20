package websocket

import (
	"time"
	"unicode/utf8"

	"tidegate/gateway"
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
