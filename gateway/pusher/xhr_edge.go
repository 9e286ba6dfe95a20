package pusher

import (
	"context"
	"crypto/rand"
	"net/http"
	"strings"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/internal/pause"
	"tidegate/gateway/transport"
)

// listen answers a request with a stream of lines or, for a poll, with the lines that wait
// or come next.
func (x *XHR) listen(w http.ResponseWriter, r *http.Request, stream bool) {
	if r.ContentLength != 0 {
		transport.LeaveUnread(w, r)
		http.Error(w, "this request has no body", http.StatusBadRequest)
		return
	}
	app, settings, refusal := x.apps.admit(r.PathValue("key"), r)
	if refusal == nil && len(keyOf(r)) > mostKey {
		refusal = refusedWith(wrongPath, "the path is longer than those of Pusher's clients")
	}
	out := beginLines(w, r, stream)
	defer out.end()
	if refusal != nil {
		out.refuse(refusal)
		return
	}
	id, home := sessionOf(settings, r), ""
	err := x.gateway.Users.Spend(r.RemoteAddr)
	if err == nil {
		home, err = x.homeOf(r, id)
	}
	switch {
	case r.Context().Err() != nil:
		return
	case x.isDraining():
		err = gateway.Draining
	case is(err, gateway.NotFound), is(err, gateway.Unavailable): // a client whose home does not answer starts a new session
		home, err = x.gateway.Node(), x.open(r, app, id)
		if err == nil && (out.write([]byte(lineOpen)) != nil || !stream) { // a poll asks for the rest later
			return
		}
	}
	if err != nil {
		out.refuse(err)
		return
	}
	x.show(r, out, home, id)
}

func (x *XHR) isDraining() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.draining
}

// show writes the lines of a session until there are no more, the client leaves or, for a
// poll, after the first lines.
func (x *XHR) show(r *http.Request, out *lines, home, session string) {
	ctx := r.Context()
	win := &window{home, session, rand.Text(), numberOf(r), make(chan linesWord, 1)}
	x.setWindow(win)
	defer x.dropWindow(win)
	for !out.full {
		word, err := x.await(ctx, win)
		switch {
		case err != nil && ctx.Err() == nil:
			x.noteHome(session, "")
			_ = out.write(lineClose(gateway.Reason{Code: comeBack, Text: gateway.ErrorOf(err).Message})) // the client may have left
			return
		case err != nil, out.write(word.Lines) != nil:
			x.leave(win)
			return
		case word.Last, !out.stream:
			return
		}
	}
	pause.For(ctx, endPatience) // so that the client replaces the stream: if that ended first, it would take its session for lost
}

// await asks a session's home for the next lines and waits for them. It asks again every
// askAgain, so that it notices if the home has died.
func (x *XHR) await(ctx context.Context, win *window) (word linesWord, err error) {
	ask := readWord{Session: win.session, Ticket: win.ticket, Number: win.number}
	again := time.NewTicker(askAgain)
	defer again.Stop()
	for {
		if err := x.gateway.Nodes.Tell(ctx, win.home, topicRead, ask); err != nil {
			return linesWord{}, err
		}
		ask.Again = true
		select {
		case word := <-win.came:
			return word, nil
		case <-ctx.Done():
			return linesWord{}, ctx.Err()
		case <-again.C:
		}
	}
}

func (x *XHR) leave(win *window) {
	_ = x.gateway.Nodes.Tell(context.Background(), win.home, topicLeave, readWord{Session: win.session, Ticket: win.ticket}) // else the home waits in vain
}

func (x *XHR) setWindow(win *window) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.windows[win.ticket] = win
}

func (x *XHR) dropWindow(win *window) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.windows, win.ticket)
}

// hearLines receives the lines for a request to this node.
func (x *XHR) hearLines(_ string, word linesWord) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	win := x.windows[word.Ticket]
	if win == nil {
		return notFound("the request is over")
	}
	select {
	case win.came <- word:
		return nil
	default:
		return fail(gateway.RateLimited, "the request has not asked for more")
	}
}

// lines is an answer that is written line by line.
type lines struct {
	w       http.ResponseWriter
	control *http.ResponseController
	stream  bool
	counted int  // length so far as the client counts it: see units
	full    bool // the client will send a new request once it has read everything
}

const (
	preludeBytes  = 2048
	streamUnits   = 256 << 10        // then a client replaces its stream by a new request
	writePatience = 10 * time.Second // less than askPatience
	endPatience   = 5 * time.Second
	bodyPatience  = 30 * time.Second // the server's timeout for reading a body
	askAgain      = 10 * time.Second
)

func beginLines(w http.ResponseWriter, r *http.Request, stream bool) *lines {
	header := w.Header()
	header.Set("Content-Type", "application/javascript; charset=UTF-8")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Accel-Buffering", "no") // nginx would hold lines back
	if stream && r.ProtoMajor == 1 {
		header.Set("Connection", "close") // the connection is of no use after the stream
	}
	l := &lines{w: w, control: http.NewResponseController(w), stream: stream}
	_ = l.control.SetReadDeadline(time.Time{}) // cannot fail on net/http's own connections
	if stream {
		_ = l.write([]byte(strings.Repeat("h", preludeBytes) + "\n")) // if it fails, the next write fails, too
	}
	return l
}

func (l *lines) write(text []byte) error {
	l.counted += units(text)
	l.full = l.stream && l.counted > streamUnits
	_ = l.control.SetWriteDeadline(time.Now().Add(writePatience)) // cannot fail on net/http's own connections
	if _, err := l.w.Write(text); err != nil {
		return err
	}
	return l.control.Flush()
}

// refuse tells a client in its protocol why it gets no session.
func (l *lines) refuse(err error) {
	reason := gateway.RefusalOf(err)
	reason.Code, reason.Text = Protocol{}.Farewell(reason)
	told := append([]byte(lineOpen), lineOf(failed(reason.Code, reason.Text))...)
	_ = l.write(append(told, lineClose(reason)...)) // the client may have left
}

// end gives the server time to finish the answer. The next request sets its own deadline.
func (l *lines) end() { _ = l.control.SetWriteDeadline(time.Now().Add(writePatience)) }
