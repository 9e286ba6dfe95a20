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
	cursors cursors // guarded by mu
}

func newStream(w http.ResponseWriter, at cursors) *stream {
	s := &stream{cursors: at}
	s.init(w, s.addNotice, addComment)
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

func (s *stream) addNotice(b, frame []byte) []byte {
	n := parseNotice(frame)
	if !s.cursors.note(n) {
		return b
	}
	b = append(b, n.body...)
	switch n.kind {
	case message:
		if len(n.position) > 0 {
			b = s.addID(b)
		}
		b = append(b, '\n')
	case gap, lost:
		b = append(b, '\n')
	case caughtUp:
		b = append(s.addID(b), '\n')
	}
	return b
}

func (s *stream) addID(b []byte) []byte {
	b = append(b, "id: "...)
	return append(s.cursors.append(b), '\n')
}

func addComment(b []byte, reason gateway.Reason) []byte {
	return fmt.Appendf(b, ": %s\n\n", oneLine(reason.Text))
}

// retry is how long a client waits before it comes back.
const retry = "retry: 2000\n"

func oneLine(text string) string { return strings.NewReplacer("\r", " ", "\n", " ").Replace(text) }
