package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// lookAtWays examines long-lived connections.
func (e *examination) lookAtWays(ctx context.Context) {
	e.Progress.Say("opening a WebSocket")
	socket := e.lookAtSocket(ctx)
	e.Progress.Say("opening a stream")
	stream := e.lookAtStream(ctx)
	switch {
	case stream != nil:
		e.lookForRepeats(ctx, stream)
	case socket != nil:
		e.lookForRepeats(ctx, socket)
	default:
		e.pass("retries: no connection to listen on")
	}
	for _, l := range []*listener{socket, stream} {
		if l != nil {
			l.close()
		}
	}
	if e.Patience > 0 {
		e.waitIdly(ctx, socket, stream)
	}
}

// lookAtSocket returns a WebSocket, or nil if none could be opened.
func (e *examination) lookAtSocket(ctx context.Context) *listener {
	socket, err := e.openSocket(ctx)
	var no *answer
	switch {
	case err == nil:
		return socket
	case !errors.As(err, &no) || no.refuses():
		e.pass("WebSockets: %v", err)
	case no.status == http.StatusUpgradeRequired:
		e.find(cureUpgrade, "WebSockets cannot be opened: the header Upgrade does not reach the node.")
	case cureRefused(no) != nil:
		e.find(cureRefused(no), "WebSockets are refused: %s.", no)
	default:
		e.find(cureUpgrade, "WebSockets cannot be opened: the handshake got %s.", no)
	}
	return nil
}

// lookAtStream returns a stream that delivers events at once, or nil.
func (e *examination) lookAtStream(ctx context.Context) *listener {
	stream, err := e.openStream(ctx)
	if err == nil {
		err = e.expectAnEvent(ctx, stream)
		if err != nil {
			stream.close()
		}
	}
	var no *answer
	switch {
	case err == nil:
		return stream
	case errors.Is(err, errUnanswered):
		e.find(cureBuffer, "Server-Sent Events are buffered: a stream delivered nothing for %s, although an event was published.", eventPatience)
	case !errors.As(err, &no) || no.refuses():
		e.pass("Server-Sent Events: %v", err)
	case cureRefused(no) != nil:
		e.find(cureRefused(no), "Server-Sent Events are refused: %s.", no)
	default:
		e.find(cureAddress, "Server-Sent Events do not work: /events returned %s.", no)
	}
	return nil
}

// expectAnEvent publishes until the stream delivers an event.
func (e *examination) expectAnEvent(ctx context.Context, stream *listener) error {
	publishing, stop := context.WithCancel(ctx)
	refused := make(chan error, 1)
	go func() {
		again := time.NewTicker(500 * time.Millisecond)
		defer again.Stop()
		var err error
		for err == nil && publishing.Err() == nil {
			if err = e.publish(publishing, "doctor: an event"); err == nil {
				select {
				case <-again.C:
				case <-publishing.Done():
				}
			}
		}
		refused <- err
	}()
	heard := stream.await(ctx, func(said string) bool { return said == "doctor: an event" })
	told := publishing.Err()
	stop()
	if err := <-refused; heard != nil && err != nil && told == nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return heard
}

// lookForRepeats sends a request that no node answers, and counts how many nodes have received it.
func (e *examination) lookForRepeats(ctx context.Context, l *listener) {
	e.Progress.Say("sending a request that no node answers")
	answer, err := e.ask(ctx, http.MethodGet, "/api/probe?unanswered="+url.QueryEscape(e.channel), nil, nil)
	if err == nil && answer.status < http.StatusInternalServerError {
		e.pass("retries: a probe that no node answers got %s", answer)
		return
	}
	const last = "doctor: that was all"
	if err := e.publishAtLast(ctx, last); err != nil {
		e.pass("retries: %v", err)
		return
	}
	var nodes []string
	err = l.await(ctx, func(said string) bool {
		if said != "" && !strings.HasPrefix(said, "doctor: ") {
			nodes = append(nodes, said)
		}
		return said == last
	})
	switch {
	case err != nil:
		e.pass("retries: %v", err)
	case len(nodes) == 0:
		e.pass("retries: no node received the probe")
	case len(nodes) > 1:
		e.find(cureRepeats, "A GET that a node accepted but did not answer is retried: %s received it in turn. A request that crashes one node would crash them all.", list(nodes))
	}
}

// publishAtLast retries a publish, because the load balancer may briefly consider nodes dead.
func (e *examination) publishAtLast(ctx context.Context, text string) error {
	ctx, cancel := context.WithTimeout(ctx, eventPatience)
	defer cancel()
	for {
		err := e.publish(ctx, text)
		if err == nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

func list(nodes []string) string {
	return fmt.Sprintf("nodes %s and %s", strings.Join(nodes[:len(nodes)-1], ", "), nodes[len(nodes)-1])
}
