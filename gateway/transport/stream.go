package transport

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"

	"tidegate/gateway"
)

// stream is the connection of a client that receives Server-Sent Events.
type stream struct {
	Pump

	// Guarded by mu.
	cursors cursors
	follows followup // what is to be written after the last body
}

func newStream(w http.ResponseWriter, at cursors) *stream {
	s := &stream{cursors: at}
	s.init(w, events{s})
	return s
}

// begin buffers what comes before all messages: the retry delay, and a gap for each channel
// without history that the client resumes, since it may have missed messages there.
func (s *stream) begin(native gateway.Protocol) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(appendRetry(s.waiting), '\n')
	for i := range s.cursors.places {
		if p := &s.cursors.places[i]; p.resumed && !p.hasPosition() {
			s.waiting = append(s.waiting, notices{native, nativeEvents}.gapBody(p.channel)...)
			s.waiting = append(s.waiting, '\n')
		}
	}
	s.held = len(s.waiting)
	s.rouse()
}

// followup is what is written after the body of a notice.
type followup uint8

const (
	nothing followup = iota
	theEnd           // the end of the event
	theID            // the id and the end of the event
)

// events frames a stream's notices as Server-Sent Events.
type events struct{ *stream }

// begin returns the fields of an event, except for the id. It returns nil for a notice that
// is not for this client.
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

// appendRetry tells a client how many milliseconds to wait before it reconnects. The clients of
// a node that crashes are to come back spread out.
func appendRetry(b []byte) []byte { return fmt.Appendf(b, "retry: %d\n", 1000+rand.N(2000)) }

func oneLine(text string) string { return strings.NewReplacer("\r", " ", "\n", " ").Replace(text) }
