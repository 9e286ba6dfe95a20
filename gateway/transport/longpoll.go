package transport

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"tidegate/gateway"
)

// LongPoll answers one request with what is newer than a cursor on the channels
// that it names, or waits for it: ?channel=a&channel=b&cursor=c&wait=25s.
//
//	200  {"messages":[…],"cursor":"…","gaps":[…]}: messages as the native protocol
//	     writes them, the cursor for the next request, the channels on which
//	     messages may have been missed; and "recovered":false if what came after
//	     the cursor is gone, or some of it
//	204  nothing came: ask again with the same cursor
//
// Without a cursor it answers at once with the current one, and with the last messages
// if ?recent=20 asks for them. A client that has a cursor for each channel gives them
// all, in the order of the channels; an empty one is none. Between two requests nothing
// is kept of a channel without history, so that it is among the gaps. CORS decides
// which pages may ask.
type LongPoll struct {
	Gateway *gateway.Gateway
	Native  gateway.Protocol // writes messages
}

const (
	defaultWait = 25 * time.Second
	longestWait = time.Minute
	pollGrace   = 10 * time.Second // for the first look, whatever the client's wait

	answerPatience = 30 * time.Second // for the client to take the answer
)

// ServeHTTP serves one request. A refusal is an HTTP status and a JSON body.
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
		return 0, badRequest(fmt.Sprintf("wait is %.32q: want a duration such as 25s, at most %v", text, longestWait))
	}
	return wait, nil
}

// await returns when there is an answer, or none has come by the time given. What
// is newer than the cursor is looked for in any case.
func (c *collector) await(ctx context.Context, expires time.Time) {
	timer := time.NewTimer(time.Until(expires))
	defer timer.Stop()
	select {
	case <-c.ready:
		return
	case <-c.over:
		return
	case <-ctx.Done():
		return
	case <-timer.C:
	}
	timer.Reset(pollGrace)
	select {
	case <-c.looked:
	case <-c.over:
	case <-ctx.Done():
	case <-timer.C:
	}
}
