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

// ErrEnded means that Run has returned. An error that wraps ErrEnded also wraps
// Run's error, if any.
var ErrEnded = errors.New("the client has ended")

// ErrUncertain means that a publish may or may not have happened. Its answer was lost, and
// sending it again this late might publish it twice.
var ErrUncertain = errors.New("the publish was sent, and its confirmation was lost")

// ErrClosed means that the Subscription was closed by Close.
var ErrClosed = errors.New("the subscription was closed")

// ErrSubscribed means that the client already has a Subscription of the channel.
var ErrSubscribed = errors.New("there is a subscription already")

// Error is the gateway's answer to a command that has failed.
type Error struct {
	Code    string // one of the protocol's error codes, such as "forbidden"
	Message string
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// temporary reports whether the same command may succeed later.
func (e *Error) temporary() bool {
	return e.Code == "unavailable" || e.Code == "rate_limited"
}

// Refusal means that the gateway permanently refuses this client.
type Refusal struct {
	Code   int // HTTP status of the handshake, or WebSocket close code
	Reason string
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("refused by the gateway: %s (%d)", r.Reason, r.Code)
}

// Close codes that the client acts on. After any other it reconnects.
const (
	closePolicy          = 1008
	closeTooLarge        = 1009
	closeUnauthenticated = 4001
	closeDisconnected    = 4009
)

// timedOut is the reason of the only close with 1008 that is not a refusal.
const timedOut = "no sign of life"

// ofRead converts the error of a read. It returns a *Refusal if the close code means one.
func ofRead(err error) error {
	closed, ok := errors.AsType[websocket.CloseError](err)
	if !ok {
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

// closing is an error for a connection that the gateway has closed.
type closing struct{ frame websocket.CloseError }

func (c closing) Error() string {
	return fmt.Sprintf("closed by the gateway: %s (%d)", c.frame.Reason, c.frame.Code)
}

func (c closing) Unwrap() error { return c.frame }

// rootOf returns the innermost error, without what the layers in between add.
func rootOf(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// withoutSecrets returns an address without its user, password and query, which may contain
// a token.
func withoutSecrets(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "the gateway"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// ofHandshake converts the error of a handshake. It returns a *Refusal if the answer means one.
func ofHandshake(answer *http.Response, err error) error {
	if answer != nil && answer.StatusCode >= 400 {
		return ofStatus(answer)
	}
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return failed.Err
	}
	return err
}

func ofStatus(answer *http.Response) error {
	refusal := &Refusal{Code: answer.StatusCode, Reason: reasonOf(answer)}
	switch code := refusal.Code; {
	case code >= 500, code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests:
		return errors.New(refusal.Error())
	}
	return refusal
}

// reasonOf returns the message of a gateway's error, or the status text for a proxy's answer.
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
	return errors.As(err, new(*Refusal))
}

func isTooLarge(err error) bool {
	return websocket.CloseStatus(err) == closeTooLarge
}
