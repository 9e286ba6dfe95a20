package websocket

import (
	"sync/atomic"
	"time"
	"unicode/utf8"

	"tidegate/gateway"
	"tidegate/gateway/internal/pause"
)

// link is what a connection has with either engine.
type link struct {
	sender
	session  *gateway.Session // fixed at birth
	heardAt  atomic.Int64     // in nanoseconds since shared.began
	progress progress
	controls uint8 // control frames, counted by the reading goroutine; may overflow
}

// Heard implements gateway.Conn.
func (l *link) Heard() time.Time { return l.shared.began.Add(time.Duration(l.heardAt.Load())) }

func (l *link) hear() { l.heardAt.Store(int64(time.Since(l.shared.began))) }

// hearControl is called for a ping or a pong. Inside a message it is no sign of life.
func (l *link) hearControl(inMessage bool) {
	if !inMessage {
		l.hear()
	}
}

const (
	pausedControls = 64 // a divisor of 256
	controlPause   = 10 * time.Millisecond
)

// paceControls is called for each ping or pong, and waits after every pausedControls of them.
// They are no commands, which have a rate: a client that sends nothing else would otherwise
// keep a processor busy.
func (l *link) paceControls() {
	if l.controls++; l.controls%pausedControls == 0 {
		l.session.Rest()
		pause.For(l.shared.life, controlPause)
	}
}

// lingerPatience is how long a peer may take to answer a close frame and to close.
const lingerPatience = 2 * time.Second

// receive handles a client's message. An error ends the session.
func (s *shared) receive(session *gateway.Session, frame gateway.Frame) error {
	if !frame.Binary && !utf8.Valid(frame.Data) {
		return gateway.InvalidData
	}
	return session.Receive(s.life, frame) // the request's context ended with the handler
}
