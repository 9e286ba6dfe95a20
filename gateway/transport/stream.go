package transport

import (
	"fmt"
	"net/http"
	"strings"

	"tidegate/gateway"
)

// stream is a client that listens to Server-Sent Events.
type stream struct {
	Pump

	// Guarded by mu.
	cursors cursors
	follows followup // the body that was taken last
}

func newStream(w http.ResponseWriter, at cursors) *stream {
	s := &stream{cursors: at}
	s.init(w, events{s})
	return s
}

// begin says what comes before all messages. A client that comes back to a
// channel without history may have missed some.
func (s *stream) begin(native gateway.Protocol) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, retry+"\n"...)
	for i := range s.cursors.places {
		if p := &s.cursors.places[i]; p.resumed && !p.hasPosition() {
			s.waiting = append(s.waiting, notices{native, nativeEvents}.gapBody(p.channel)...)
			s.waiting = append(s.waiting, '\n')
		}
	}
	s.held = len(s.waiting)
	s.rouse()
}

// followup is what follows the body of a notice.
type followup uint8

const (
	nothing followup = iota
	theEnd           // of an event
	theID            // and the end
)

// events frames a stream's notices as Server-Sent Events.
type events struct{ *stream }

// begin returns the fields of an event but for its id. A notice of what the client has
// is nothing.
func (s events) begin(frame []byte) []byte {
	n := parseNotice(frame)
	s.follows = nothing
	if !s.cursors.note(n) {
		return nil
	}
	switch {
	case n.kind == caughtUp, n.kind == message && len(n.position) > 0:
		s.follows = theID
	case n.kind == message, n.kind == gap, n.kind == lost:
		s.follows = theEnd
	}
	return n.body
}

func (s events) finish(b []byte) []byte {
	switch s.follows {
	case theID:
		return append(s.addID(b), '\n')
	case theEnd:
		return append(b, '\n')
	}
	return b
}

func (events) end(b []byte, reason gateway.Reason) []byte {
	return fmt.Appendf(b, ": %s\n\n", oneLine(reason.Text))
}

func (s *stream) addID(b []byte) []byte {
	b = append(b, "id: "...)
	return append(s.cursors.append(b), '\n')
}

// retry is how long a client waits before it comes back.
const retry = "retry: 2000\n"

func oneLine(text string) string { return strings.NewReplacer("\r", " ", "\n", " ").Replace(text) }
