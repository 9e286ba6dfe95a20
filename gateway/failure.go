package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/cluster"
	"tidegate/gateway/internal/hub"
	"tidegate/gateway/internal/outbox"
	"tidegate/gateway/rules"
)

// Code says why a command failed. All transports share this closed set.
type Code string

const (
	BadRequest      Code = "bad_request"
	Unauthenticated Code = "unauthenticated"
	Forbidden       Code = "forbidden"
	NotFound        Code = "not_found"
	TooLarge        Code = "too_large"
	RateLimited     Code = "rate_limited"
	LimitExceeded   Code = "limit_exceeded"
	Unavailable     Code = "unavailable" // the broker did not confirm: retry with the same key
	Internal        Code = "internal"
)

// codes lists all codes.
var codes = []Code{
	BadRequest, Unauthenticated, Forbidden, NotFound, TooLarge, RateLimited, LimitExceeded, Unavailable, Internal,
}

// Error is a failure that a client is told about.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"` // for the client; says what to do
	Reason  Reason `json:"-"`       // why a session refused for this error ends; zero: follows from Code
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

func failf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// ErrorOf returns the *Error for err: the one that it wraps or corresponds to, or else one
// that reveals no details.
func ErrorOf(err error) *Error {
	var e *Error
	var name *rules.NameError
	var of *cluster.Failure
	switch {
	case errors.As(err, &e):
		return e
	case errors.As(err, &name):
		return failf(BadRequest, "%s", name)
	case errors.As(err, &of):
		return &Error{Code: Code(of.Code), Message: of.Text}
	case errors.Is(err, hub.ErrLost):
		return &Error{Code: NotFound, Message: hub.ErrLost.Error(), Reason: Missed}
	case errors.Is(err, hub.ErrGone):
		return failf(Unavailable, "%v", hub.ErrGone)
	case errors.Is(err, broker.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return failf(Unavailable, "the broker did not confirm; try again, a publish with the same key")
	default:
		return failf(Internal, "internal error")
	}
}

// RefusalOf returns the Reason with which a session refused because of err ends.
func RefusalOf(err error) Reason {
	var reason Reason
	if errors.As(err, &reason) {
		return reason
	}
	return ErrorOf(err).refusal()
}

// refusal returns the Reason with which a session refused for e ends.
func (e *Error) refusal() Reason {
	switch {
	case e.Reason != Reason{}:
		return e.Reason
	case e.Code == Unauthenticated:
		return NotAuthentic.With(e.Message)
	case e.Code == Unavailable, e.Code == LimitExceeded, e.Code == RateLimited:
		return Overloaded.With(e.Message)
	}
	return e.Code.Reason().With(e.Message)
}

// Reason says why a session ends. It is an error, so that a Conn or a Protocol can end a
// session with it. The set is closed, except that a Refused may have any Code; With sets a
// more specific Text. The Protocol's Farewell decides what the client is told.
type Reason struct {
	Code  int    // WebSocket close code in Tidegate's own protocols
	Label string // identifies the reason in metrics, logs and errors.Is
	Text  string // for the client; at most MaxReasonText bytes
}

func (r Reason) Error() string { return r.Text }

// Is reports whether target is a Reason with the same Label.
func (r Reason) Is(target error) bool {
	other, ok := target.(Reason)
	return ok && r.Label == other.Label
}

// With returns r with the given text. A text that is too long is cut at a character boundary,
// because a close frame whose text is not UTF-8 is a protocol error to the peer.
func (r Reason) With(text string) Reason {
	text = strings.ToValidUTF8(text, "\ufffd")
	if len(text) > MaxReasonText {
		text = strings.ToValidUTF8(text[:MaxReasonText], "")
	}
	r.Text = text
	return r
}

// MaxReasonText is the most bytes that the text of a close frame may have (RFC 6455, section
// 5.5).
const MaxReasonText = 123

// The reasons for which a session ends, with the close codes of RFC 6455, section 7.4.1, and
// Tidegate's own codes from 4000 on.
var (
	Left          = Reason{1000, "left", "bye"}
	Draining      = Reason{1001, "drain", "the node is draining: connect again"}
	ProtocolError = Reason{1002, "protocol_error", "protocol error"}
	Unsupported   = Reason{1003, "unsupported_data", "this kind of frame is not understood here"}
	Lost          = Reason{1006, "connection_lost", "the connection broke"}
	InvalidData   = Reason{1007, "invalid_data", "a text frame is not UTF-8"}
	Policy        = Reason{1008, "policy", "not allowed"}
	TooBig        = Reason{1009, "too_large", "the frame is larger than allowed"}
	Failed        = Reason{1011, "internal", "internal error"}
	NotConfirmed  = Reason{1013, "unavailable", "the publish was not confirmed: try again later"}
	Refused       = Reason{1008, "refused", "not served here"}
	Overloaded    = Reason{1013, "overloaded", "the node has no room for this: try again later"}
	NotAuthentic  = Reason{4001, "unauthenticated", "authentication failed"}
	TokenExpired  = Reason{4002, "token_expired", "the token has expired"}
	SlowConsumer  = Reason{4008, "slow_consumer", "the client did not keep up"}
	Disconnected  = Reason{4009, "disconnected", "disconnected by the backend"}
	Missed        = Reason{4010, "gap", "messages may have been missed"}
	TimedOut      = Reason{1001, "timeout", "no sign of life"}
)

// reasons lists all reasons.
var reasons = []Reason{
	Left, Draining, ProtocolError, Unsupported, Lost, InvalidData, Policy, TooBig, Failed,
	NotConfirmed, Refused, Overloaded, NotAuthentic, TokenExpired, SlowConsumer, Disconnected, Missed, TimedOut,
}

// AsError returns the error for a client whose session ended for r before it was answered.
func (r Reason) AsError() *Error {
	code := Unavailable
	switch {
	case r.Is(Policy), r.Is(Disconnected):
		code = Forbidden
	case r.Is(NotAuthentic), r.Is(TokenExpired):
		code = Unauthenticated
	}
	return &Error{Code: code, Message: r.Text, Reason: r}
}

// ending returns how the outbox ends a session for this reason.
func (r Reason) ending() outbox.Ending {
	e := outbox.Ending{Why: r, Patience: endPatience}
	switch {
	case r.Is(SlowConsumer), r.Is(Lost), r.Is(Left), r.Is(TimedOut):
		e.Forsakes = true
	case r.Is(Draining):
		e.Patience = drainPatience
	}
	return e
}

// How long a session that ends may take to write what is in its outbox.
const (
	endPatience   = 2 * time.Second
	drainPatience = 300 * time.Millisecond // for a session that was asked to leave before
)

// ReasonOf returns the Reason for err, an error that ended a Read, a Write, a Decode, an
// Encode or a subscription.
func ReasonOf(err error) Reason {
	var r Reason
	switch {
	case errors.As(err, &r):
		return r
	case err == nil, errors.Is(err, io.EOF):
		return Left
	case errors.Is(err, hub.ErrSlow):
		return SlowConsumer
	case errors.Is(err, hub.ErrMissed):
		return Missed
	default:
		return Lost
	}
}

// Reason returns the Reason with which a session ends if its protocol has no way to report a
// command that failed with code c.
func (c Code) Reason() Reason {
	switch c {
	case TooLarge:
		return TooBig
	case Unavailable:
		return NotConfirmed
	case Internal:
		return Failed
	default:
		return Policy
	}
}
