package doctor

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// listener is a connection subscribed to the examination's channel.
type listener struct {
	opened time.Time
	heard  chan string        // payloads, or "" for other signs of life; closed at the end
	err    error              // why it has ended; may be read once heard is closed
	stop   context.CancelFunc // ends the connection
}

// close ends the connection and returns once its goroutine has ended.
func (l *listener) close() {
	l.stop()
	for range l.heard {
	}
}

// listen calls read in a goroutine until read fails, and passes on what it returns.
func listen(ctx context.Context, stop context.CancelFunc, read func() (string, error)) *listener {
	l := &listener{opened: time.Now(), heard: make(chan string), stop: stop}
	go func() {
		defer close(l.heard)
		for {
			said, err := read()
			if err != nil {
				l.err = err
				return
			}
			select {
			case l.heard <- said:
			case <-ctx.Done():
				l.err = ctx.Err()
				return
			}
		}
	}()
	return l
}

// errUnanswered means that nothing was received in time.
var errUnanswered = errors.New("nothing came in time")

// await blocks until it receives a payload that is wanted.
func (l *listener) await(ctx context.Context, wanted func(string) bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, eventPatience, errUnanswered)
	defer cancel()
	for {
		select {
		case said, open := <-l.heard:
			if !open {
				return l.err
			}
			if wanted(said) {
				return nil
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// openStream opens a stream of Server-Sent Events. It returns once the stream has sent
// something, or errUnanswered if it does not in time.
func (e *examination) openStream(ctx context.Context) (*listener, error) {
	ctx, stop := context.WithCancelCause(ctx)
	late := time.AfterFunc(eventPatience, func() { stop(errUnanswered) })
	defer late.Stop()
	response, err := e.begin(ctx, http.MethodGet, "/events?channel="+url.QueryEscape(e.channel), nil, nil)
	if err != nil {
		defer stop(nil)
		return nil, causeOr(ctx, err)
	}
	if response.StatusCode != http.StatusOK {
		defer stop(nil)
		defer response.Body.Close()
		said, _ := io.ReadAll(io.LimitReader(response.Body, mostRead)) // as much as could be read
		return nil, &answer{status: response.StatusCode, body: said}
	}
	lines := bufio.NewReader(response.Body)
	if _, err := lines.ReadString('\n'); err != nil {
		defer stop(nil)
		response.Body.Close()
		return nil, causeOr(ctx, err)
	}
	return listen(ctx, func() { stop(nil); response.Body.Close() }, func() (string, error) {
		line, err := lines.ReadString('\n')
		data, _ := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "data: ")
		return data, err
	}), nil
}

// causeOr returns the cause of the end of ctx or, if ctx has not ended, err.
func causeOr(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// openSocket opens a WebSocket and subscribes.
func (e *examination) openSocket(ctx context.Context) (*listener, error) {
	opening, cancel := context.WithTimeoutCause(ctx, answerPatience, errUnanswered)
	defer cancel()
	header := http.Header{}
	if e.Key != "" {
		header.Set("Authorization", "Bearer "+e.Key)
	}
	conn, response, err := websocket.Dial(opening, "ws"+strings.TrimPrefix(e.URL.String(), "http")+"/ws", &websocket.DialOptions{HTTPClient: e.http, HTTPHeader: header})
	switch {
	case err != nil && response != nil && response.StatusCode != http.StatusSwitchingProtocols:
		said, _ := io.ReadAll(response.Body) // coder/websocket keeps the beginning of the body
		return nil, &answer{status: response.StatusCode, body: said}
	case err != nil:
		return nil, causeOr(opening, err)
	}
	command := fmt.Sprintf(`{"type":"subscribe","id":1,"channel":%q}`, e.channel)
	if err := conn.Write(opening, websocket.MessageText, []byte(command)); err != nil {
		conn.CloseNow()
		return nil, causeOr(opening, err)
	}
	for answered := false; !answered; {
		f, err := readFrame(opening, conn)
		if err != nil || f.Type == "error" {
			conn.CloseNow()
			return nil, causeOr(opening, errors.Join(err, f.refusal()))
		}
		answered = f.Type == "subscribed"
	}
	ctx, stop := context.WithCancel(ctx)
	return listen(ctx, func() { stop(); conn.CloseNow() }, func() (string, error) {
		f, err := readFrame(ctx, conn)
		return f.Text, err
	}), nil
}

// frame is a frame of the native protocol.
type frame struct{ Type, Text, Code, Message string }

func (f frame) refusal() error {
	if f.Type != "error" {
		return nil
	}
	return fmt.Errorf("%s (%s)", f.Message, f.Code)
}

func readFrame(ctx context.Context, conn *websocket.Conn) (f frame, err error) {
	_, read, err := conn.Read(ctx)
	if err == nil {
		err = json.Unmarshal(read, &f)
	}
	return f, err
}
