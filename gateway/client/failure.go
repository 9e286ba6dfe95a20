package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/coder/websocket"
)

// ErrEnded says that Run has returned, and wraps its error if there is one.
var ErrEnded = errors.New("the client has ended")

// ErrUncertain says that a publish may have happened or not: its answer was
// lost, so long ago that to send it again might publish it twice.
var ErrUncertain = errors.New("the publish was sent, and its confirmation was lost")

// ErrClosed says that a Subscription was closed.
var ErrClosed = errors.New("the subscription was closed")

// ErrSubscribed says that the client has a Subscription of that channel already.
var ErrSubscribed = errors.New("there is a subscription already")

// Error is the gateway's answer to a command that failed.
type Error struct {
	Code    string // one of the protocol's closed set, such as "forbidden"
	Message string
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// temporary reports whether the same command may succeed a little later.
func (e *Error) temporary() bool {
	return e.Code == "unavailable" || e.Code == "rate_limited"
}

// Refusal says that the gateway does not want this client, now and later.
type Refusal struct {
	Code   int // HTTP status of the handshake, or WebSocket close code
	Reason string
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("refused by the gateway: %s (%d)", r.Reason, r.Code)
}

// The close codes that the client acts upon; after any other it connects again.
const (
	closePolicy          = 1008
	closeTooLarge        = 1009
	closeUnauthenticated = 4001
	closeDisconnected    = 4009
)

// timedOut is the reason text of the one close with 1008 that is no refusal.
const timedOut = "no sign of life"

// ofRead returns why a read failed: a Refusal if the gateway's close code means
// one.
func ofRead(err error) error {
	var closed websocket.CloseError
	if !errors.As(err, &closed) {
		return fmt.Errorf("the connection broke: %w", rootOf(err))
	}
	switch closed.Code {
	case closePolicy, closeUnauthenticated, closeDisconnected:
		if closed.Reason != timedOut {
			return &Refusal{Code: int(closed.Code), Reason: closed.Reason}
		}
	}
	return closing{closed}
}

// closing is the gateway's end of a connection, in words.
type closing struct{ frame websocket.CloseError }

func (c closing) Error() string {
	return fmt.Sprintf("closed by the gateway: %s (%d)", c.frame.Reason, c.frame.Code)
}

func (c closing) Unwrap() error { return c.frame }

// rootOf leaves out what the layers between say of themselves.
func rootOf(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// ofHandshake returns why a handshake failed: a Refusal if its answer means one.
func ofHandshake(answer *http.Response, err error) error {
	var failed *url.Error
	switch {
	case answer != nil && answer.StatusCode >= 400:
		return ofStatus(answer)
	case errors.As(err, &failed):
		return failed.Err
	}
	return err
}

func ofStatus(answer *http.Response) error {
	refusal := &Refusal{Code: answer.StatusCode, Reason: reasonOf(answer)}
	switch answer.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return errors.New(refusal.Error())
	}
	if answer.StatusCode >= 500 {
		return errors.New(refusal.Error())
	}
	return refusal
}

// reasonOf reads the message of the gateway's own errors; a proxy's have none.
func reasonOf(answer *http.Response) string {
	var body struct{ Error struct{ Message string } }
	if answer.Body != nil {
		_ = json.NewDecoder(io.LimitReader(answer.Body, 4096)).Decode(&body)
	}
	if body.Error.Message != "" {
		return body.Error.Message
	}
	return http.StatusText(answer.StatusCode)
}

func isFinal(err error) bool {
	var r *Refusal
	return errors.As(err, &r)
}

func isTooLarge(err error) bool {
	return websocket.CloseStatus(err) == closeTooLarge
}
