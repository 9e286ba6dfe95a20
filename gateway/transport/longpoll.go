package transport

import (
	"context"
	"net/http"
	"time"

	"tidegate/gateway"
)

// LongPoll answers a request with the messages after a cursor on the channels that the
// request names. If there are none yet, it waits: ?channel=a&channel=b&cursor=c&wait=25s.
//
//	200  {"messages":[…],"cursor":"…","gaps":[…]}: messages in the form of the
//	     native protocol, the cursor for the next request, and the channels on
//	     which messages may have been missed; and "recovered":false if some or
//	     all messages after the cursor are gone
//	204  there are no messages: ask again with the same cursor
//
// Without a cursor it answers at once with the current one, and with the most recent
// messages if the request has ?recent=20. A client with a cursor for each channel sends all
// of them, in the order of the channels; an empty one means none. On a channel without
// history, messages between two requests are lost, so such a channel is among the gaps of
// every answer to a request with a cursor, but a 204 says nothing of it. CORS decides which
// pages may send requests.
type LongPoll struct {
	Gateway *gateway.Gateway
	Native  gateway.Protocol // encodes messages
}

const (
	defaultWait = 25 * time.Second
	longestWait = time.Minute
	pollGrace   = 10 * time.Second // time for the first look after the client's wait is over

	answerPatience = 30 * time.Second // timeout for writing the answer
)

// ServeHTTP serves one request. An error is an HTTP status with a JSON body.
func (l *LongPoll) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	wait, err := waitOf(r)
	if err != nil {
		Refuse(w, err)
		return
	}
	expires := time.Now().Add(wait)
	from := subscriber{l.Gateway, l.Native, "longpoll"}
	at, err := from.placesOf(r, "")
	if err != nil {
		Refuse(w, err)
		return
	}
	session, err := from.open(r, at, nativeObjects)
	if err != nil {
		Refuse(w, err)
		return
	}
	c := newCollector(l.Gateway.Budget, session.Payer(), at)
	defer c.release()
	resumes := at.resumes() // before the collector moves the cursors on
	session.Attach(c)
	session.Subscribe(resumes...)
	c.await(r.Context(), expires)
	body, err := c.finish()
	session.End(gateway.Left)
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerPatience))

	switch {
	case err != nil:
		Refuse(w, err)
	case body == nil:
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Type", "application/json")
		w.Write(body)
	}
}

func waitOf(r *http.Request) (time.Duration, error) {
	text := r.URL.Query().Get("wait")
	if text == "" {
		return defaultWait, nil
	}
	wait, err := time.ParseDuration(text)
	if err != nil || wait < 0 || wait > longestWait {
		return 0, fail(gateway.BadRequest, "wait is %.32q: want a duration such as 25s, at most %v", text, longestWait)
	}
	return wait, nil
}

// await blocks until there is an answer, the session ends, ctx is done or the time given is
// reached. In the last case it still waits, at most for pollGrace, until everything newer
// than the cursor has arrived.
func (c *collector) await(ctx context.Context, expires time.Time) {
	timer := time.NewTimer(time.Until(expires))
	defer timer.Stop()
	select {
	case <-c.ready:
		return
	case <-ctx.Done():
		return
	case <-timer.C:
	}
	timer.Reset(pollGrace)
	select {
	case <-c.ready:
	case <-c.looked:
	case <-ctx.Done():
	case <-timer.C:
	}
}
