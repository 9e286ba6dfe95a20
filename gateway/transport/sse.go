package transport

import (
	"net/http"

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
// The id of an event is a cursor over all of the request's channels (see
// cursors). With it in the header Last-Event-ID, or in ?cursor=, a stream goes
// on where another one ended, on any node. A client that has a cursor of each
// channel gives them all, in the order of the channels; an empty one is none.
// Origins.CORS decides which pages may.
type SSE struct {
	Gateway *gateway.Gateway
	Native  gateway.Protocol // writes messages as objects
}

// retry is how long a client waits before it comes back.
const retry = "retry: 2000\n"

// ServeHTTP serves one stream and returns when it has ended. A refusal is an
// HTTP status and a JSON body.
func (s *SSE) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	from := subscriber{s.Gateway, s.Native, "sse"}
	session, at, err := from.open(r, r.Header.Get("Last-Event-ID"), eventsFor(r))
	if err != nil {
		Refuse(w, err)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // nginx would hold events back
	if r.ProtoMajor == 1 {
		header.Set("Connection", "close") // a later request would inherit a deadline
	}
	stream := newStream(w, at)
	stream.begin(s.Native)

	served := make(chan struct{})
	go func() {
		defer close(served)
		session.Serve(r.Context(), stream)
	}()
	stream.pump(r.Context())
	<-served
}

// eventsFor returns what form the events of a request's channels have.
func eventsFor(r *http.Request) func(channels int) form {
	enveloped := r.URL.Query().Get("envelope") == "true"
	return func(channels int) form {
		if channels == 1 && !enveloped {
			return payloadEvents
		}
		return nativeEvents
	}
}
