package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/coder/websocket"
)

const longestPoll = time.Minute // the longest wait that a gateway accepts

// waitIdly leaves a connection of each kind that could be opened idle until it is cut or
// Patience has passed.
func (e *examination) waitIdly(ctx context.Context, socket, stream *listener) {
	var waiting sync.WaitGroup
	begun, over := time.Now(), make(chan struct{})
	if socket != nil {
		waiting.Go(func() { e.waitOn(ctx, "WebSockets", cureTunnel, e.openSocket) })
	}
	if stream != nil {
		waiting.Go(func() { e.waitOn(ctx, "Server-Sent Events streams", cureSilence, e.openStream) })
	}
	waiting.Go(func() { e.waitForPoll(ctx) })
	go func() {
		waiting.Wait()
		close(over)
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		e.Progress.Say("silent connections: %s of %s", time.Since(begun).Round(time.Second), e.Patience)
		select {
		case <-over:
			return
		case <-tick.C:
		}
	}
}

func (e *examination) waitOn(ctx context.Context, what string, cures []Cure, open func(context.Context) (*listener, error)) {
	l, err := open(ctx)
	if err != nil {
		e.pass("silent %s: %v", what, err)
		return
	}
	defer l.close()
	over := time.After(e.Patience)
	for {
		select {
		case _, open := <-l.heard:
			switch {
			case open:
			case saidGoodbye(l.err):
				e.pass("silent %s: the node closed one itself: %v", what, l.err)
				return
			default:
				e.find(cures, "Silent %s are cut: one was closed after %s.", what, lasted(l.opened))
				return
			}
		case <-over:
			return
		case <-ctx.Done():
			return
		}
	}
}

// saidGoodbye reports whether a connection was closed in order, which only a node does.
func saidGoodbye(err error) bool {
	return websocket.CloseStatus(err) != -1 || err == io.EOF
}

func lasted(since time.Time) string {
	return fmt.Sprintf("%.1f s", time.Since(since).Seconds())
}

// waitForPoll makes a long-poll wait for Patience, or as long as a gateway accepts.
func (e *examination) waitForPoll(ctx context.Context) {
	path := "/poll?channel=" + url.QueryEscape(e.channel)
	answer, err := e.ask(ctx, http.MethodGet, path, nil, nil)
	var begin struct{ Cursor string }
	if err == nil && answer.status == http.StatusOK {
		err = json.Unmarshal(answer.body, &begin)
	}
	if err != nil || begin.Cursor == "" {
		e.pass("long-polls: %s", whyNot(answer, err))
		return
	}
	wait := min(e.Patience, longestPoll)
	ctx, cancel := context.WithTimeoutCause(ctx, wait+answerPatience, errUnanswered)
	defer cancel()
	since := time.Now()
	response, err := e.begin(ctx, http.MethodGet, path+"&wait="+wait.String()+"&cursor="+url.QueryEscape(begin.Cursor), nil, nil)
	if err == nil {
		response.Body.Close()
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
	case err != nil:
		e.find(cureSilence, "Long-polls are cut: one that should wait %s was closed after %s.", wait, lasted(since))
	case response.StatusCode >= http.StatusInternalServerError:
		e.find(cureSilence, "Long-polls are cut: one that should wait %s got %d after %s.", wait, response.StatusCode, lasted(since))
	}
}
