package pusher

import (
	"context"
	"crypto/rand"
	"net/http"
	"strings"
	"time"

	"tidegate/gateway"
)

// listen answers a request by a stream of lines, or by the first ones that come.
func (x *XHR) listen(w http.ResponseWriter, r *http.Request, stream bool) {
	if r.ContentLength != 0 {
		http.Error(w, "this request has no body", http.StatusBadRequest)
		return
	}
	app, settings, refusal := x.apps.admit(r.PathValue("key"), r)
	out := beginLines(w, r, stream)
	defer out.end()
	if refusal != nil {
		x.refuse(out, Protocol{app}, refusal)
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
	case is(err, gateway.NotFound), is(err, gateway.Unavailable): // who had one on a node that is silent begins anew
		home, err = x.gateway.Node(), x.open(r, app, id)
		if err == nil && (out.write([]byte(lineOpen)) != nil || !stream) { // a poll comes for the rest
			return
		}
	}
	if err != nil {
		x.refuse(out, Protocol{app}, err)
		return
	}
	x.show(r, out, home, id)
}

func (x *XHR) isDraining() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.draining
}

// show writes what there is for a session until that is all, or the client leaves.
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
	out.awaitEnd(ctx)
}

// await asks a session's home for what there is next, and asks again from time to time,
// so that it does not wait for a home that has died.
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

// hearLines is told what there is for a request of this node's.
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

// refuse tells a client why it has no session, in its protocol.
func (x *XHR) refuse(out *lines, p Protocol, err error) {
	session := x.gateway.Refuse(gateway.Hello{Protocol: lined{p}, Transport: "xhr"}, err)
	words := &lastWords{said: make(chan struct{})}
	session.Attach(words)
	<-words.said
	_ = out.write(append([]byte(lineOpen), words.text...)) // the client may have left
}

// lastWords are what a client is told whose session is refused.
type lastWords struct {
	text []byte
	said chan struct{} // closed when that is all
}

func (l *lastWords) Heard() time.Time { return time.Now() }

func (l *lastWords) Write(frames [][]byte, _ time.Duration) ([][]byte, error) {
	for _, frame := range frames {
		l.text = append(l.text, frame...)
	}
	return nil, nil
}

func (l *lastWords) Close(reason gateway.Reason, _ []byte) {
	l.text = append(l.text, lineClose(reason)...)
	close(l.said)
}

// lines is an answer that goes out line by line.
type lines struct {
	w       http.ResponseWriter
	control *http.ResponseController
	stream  bool
	counted int  // as the client counts, see units
	full    bool // the client is about to come anew, once it has read all there is
}

const (
	preludeBytes  = 2048
	streamUnits   = 256 << 10        // after which a client comes anew
	writePatience = 10 * time.Second // less than a box waits for the client to ask
	endPatience   = 5 * time.Second
	bodyPatience  = 30 * time.Second // the server's, for a body
	askAgain      = 10 * time.Second
)

func beginLines(w http.ResponseWriter, r *http.Request, stream bool) *lines {
	header := w.Header()
	header.Set("Content-Type", "application/javascript; charset=UTF-8")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Accel-Buffering", "no") // nginx would hold lines back
	if stream && r.ProtoMajor == 1 {
		header.Set("Connection", "close") // it ends with the client, or not at all
	}
	l := &lines{w: w, control: http.NewResponseController(w), stream: stream}
	_ = l.control.SetReadDeadline(time.Time{}) // net/http's own connections can do it
	if stream {
		_ = l.write([]byte(strings.Repeat("h", preludeBytes) + "\n")) // the next one fails as well
	}
	return l
}

func (l *lines) write(text []byte) error {
	l.counted += units(text)
	l.full = l.stream && l.counted > streamUnits
	_ = l.control.SetWriteDeadline(time.Now().Add(writePatience)) // net/http's own connections can do it
	if _, err := l.w.Write(text); err != nil {
		return err
	}
	return l.control.Flush()
}

// end leaves the connection's deadlines to the next request.
func (l *lines) end() { _ = l.control.SetWriteDeadline(time.Now().Add(writePatience)) }

// awaitEnd gives a client that is about to come anew the time for it: one whose stream
// ends by itself takes its session for lost.
func (l *lines) awaitEnd(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(endPatience):
	}
}
