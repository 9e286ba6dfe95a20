package transport

import (
	"net/http"
	"strings"

	"tidegate/gateway"
)

// SSE serves Server-Sent Events (HTML standard, section 9.2) for the channels that a
// request names: ?channel=a&channel=b.
//
// On a stream of a single channel, a message becomes an event with the message's event
// name, if any, and its payload as data: binary in base64, and all line breaks of text as
// \n. On a stream of several channels, or with ?envelope=true, the data is the native
// protocol's message object. An event named gap says that messages may have been missed on
// the channel in its data. A message whose own event name is gap, open or error is sent
// without a name.
//
// The id of an event is a cursor over all channels of the request (see cursors). Sent in the
// header Last-Event-ID or in ?cursor=, it continues the stream on any node. Without a
// cursor, ?recent=20 first sends the last messages of each channel. A client with a cursor
// for each channel sends all of them, in the order of the channels; an empty one means none.
// CORS decides which pages may listen.
type SSE struct {
	Gateway *gateway.Gateway
	Native  gateway.Protocol // encodes messages as objects
}

// ServeHTTP serves one stream and returns when it has ended. An error is an HTTP status with
// a JSON body. But an EventSource never reconnects after an HTTP error. So, if the error may
// be temporary, ServeHTTP begins a stream instead, says when to reconnect, and ends it (HTML
// standard, section 9.2.3).
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
		w.Write(events{}.end(appendRetry(nil), gateway.RefusalOf(err)))
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

// passes reports whether the error that refused a session may be temporary.
func passes(err error) bool {
	switch gateway.ErrorOf(err).Code {
	case gateway.Unavailable, gateway.RateLimited, gateway.LimitExceeded, gateway.Internal:
		return true
	}
	return false
}

// isEventSource reports whether a request comes from a browser's EventSource, or from a
// client with the same Accept header.
func isEventSource(r *http.Request) bool {
	return strings.Contains(strings.ToLower(r.Header.Get("Accept")), EventStream)
}

// BeginStream sets the headers of a response that lasts indefinitely, and removes the
// server's deadlines from the connection.
func BeginStream(w http.ResponseWriter, r *http.Request, contentType string) {
	liftDeadlines(w)
	header := w.Header()
	header.Set("Content-Type", contentType)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // nginx would hold events back
	if r.ProtoMajor == 1 {
		header.Set("Connection", "close") // else a later request would inherit a deadline
	}
}

// EventStream is the Content-Type of Server-Sent Events.
const EventStream = "text/event-stream"

// formOf returns the form of the events for a request.
func formOf(r *http.Request, channels int) form {
	if channels == 1 && r.URL.Query().Get("envelope") != "true" {
		return payloadEvents
	}
	return nativeEvents
}
