package transport

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"

	"tidegate/gateway"
)

// SSE serves Server-Sent Events (HTML standard, section 9.2) on the channels
// that a request names: ?channel=a&channel=b.
//
// A message on the stream of a single channel is an event with the message's
// event name, if it has one, and its payload as data: binary in base64, and all
// line ends of text as \n. On the stream of several channels, and with
// ?envelope=true on that of one, the data is the native protocol's message object.
// An event named gap says that messages of
// the channel in its data may have been missed; a message whose event name is gap
// is an event without a name.
//
// The id of an event is a cursor over all of the request's channels (see cursors). With
// it in the header Last-Event-ID, or in ?cursor=, a stream goes on where another one
// ended, on any node. Without one, ?recent=20 gives the last messages of each channel
// first. A client that has a cursor of each channel gives them all, in the order of the
// channels; an empty one is none. CORS decides which pages may listen.
type SSE struct {
	Gateway *gateway.Gateway
	Native  gateway.Protocol // writes messages as objects
}

// ServeHTTP serves one stream and returns when it has ended. A refusal is an HTTP
// status and a JSON body. An EventSource would never come back after that: if it
// is to, it is told how soon, and the stream ends (HTML standard, section 9.2.3).
func (s *SSE) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	from := subscriber{s.Gateway, s.Native, "sse"}
	at, err := from.placesOf(r, r.Header.Get("Last-Event-ID"))
	if err != nil {
		Refuse(w, err)
		return
	}
	session, err := from.open(r, at, formOf(r, len(at.places)))
	switch {
	case err != nil && passes(err) && isEventSource(r):
		BeginStream(w, r, EventStream)
		fmt.Fprintf(w, "retry: %d\n: %s\n\n", 1000+rand.N(2000), oneLine(gateway.ErrorOf(err).Message))
		return
	case err != nil:
		Refuse(w, err)
		return
	}
	BeginStream(w, r, EventStream)
	stream := newStream(w, at)
	stream.begin(s.Native)
	resumes := at.resumes() // before the stream moves the cursors on
	session.Attach(stream)
	session.Subscribe(resumes...)
	session.End(stream.Run(r.Context()))
}

// passes reports whether what refused a session may be over soon.
func passes(err error) bool {
	switch gateway.ErrorOf(err).Code {
	case gateway.Unavailable, gateway.RateLimited, gateway.LimitExceeded, gateway.Internal:
		return true
	}
	return false
}

// isEventSource reports whether a request comes from a browser's EventSource, or from a
// client that asks as one does.
func isEventSource(r *http.Request) bool {
	return strings.Contains(strings.ToLower(r.Header.Get("Accept")), EventStream)
}

// BeginStream begins a response whose body has no end in sight: the server's deadlines
// do not apply to it any more.
func BeginStream(w http.ResponseWriter, r *http.Request, contentType string) {
	liftDeadlines(w)
	header := w.Header()
	header.Set("Content-Type", contentType)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // nginx would hold events back
	if r.ProtoMajor == 1 {
		header.Set("Connection", "close") // a later request would inherit a deadline
	}
}

// EventStream is the Content-Type of Server-Sent Events.
const EventStream = "text/event-stream"

// formOf returns what form the events of a request have.
func formOf(r *http.Request, channels int) form {
	if channels == 1 && r.URL.Query().Get("envelope") != "true" {
		return payloadEvents
	}
	return nativeEvents
}
