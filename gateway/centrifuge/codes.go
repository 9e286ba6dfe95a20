package centrifuge

import (
	"strings"

	"tidegate/gateway"
	"tidegate/gateway/centrifuge/internal/wire"
)

// Codes of the ends of connections and subscriptions, and of errors, as in
// https://centrifugal.dev/docs/server/codes. SDKs reconnect after 3000 to 3499 and
// resubscribe after 2500 and above. They retry after a temporary error or an expired token.
const (
	shutdown          = 3001
	serverError       = 3004
	connectionExpired = 3005
	slow              = 3008
	insufficientState = 3010
	noPong            = 3012
	invalidToken      = 3500
	badFrame          = 3501
	forceDisconnect   = 3503
	permissionDenied  = 3507

	unsubscribedByServer = 2000
	unsubscribedForNow   = 2500
	unsubscribedExpired  = 2501

	errInternal        = 100
	errUnauthorized    = 101
	errUnknownChannel  = 102
	errPermission      = 103
	errMethodNotFound  = 104
	errLimit           = 106
	errBadRequest      = 107
	errNotAvailable    = 108
	errTokenExpired    = 109
	errTooManyRequests = 111
	errUnrecoverable   = 112
)

func farewellCode(r gateway.Reason) int {
	switch {
	case r.Is(gateway.Draining):
		return shutdown
	case r.Is(gateway.Failed), r.Is(gateway.NotConfirmed), r.Is(gateway.Overloaded):
		return serverError
	case r.Is(gateway.TokenExpired):
		return connectionExpired
	case r.Is(gateway.SlowConsumer):
		return slow
	case r.Is(gateway.Missed):
		return insufficientState
	case r.Is(gateway.TimedOut):
		return noPong
	case r.Is(gateway.NotAuthentic):
		return invalidToken
	case r.Is(gateway.ProtocolError), r.Is(gateway.Unsupported), r.Is(gateway.InvalidData):
		return badFrame
	case r.Is(gateway.Disconnected):
		return forceDisconnect
	case r.Is(gateway.Policy):
		return permissionDenied
	}
	return r.Code
}

// errorOfFailure is errorOf for a failed command. If the token has expired, it tells the client
// to get a new one, and if messages are lost, that it cannot recover. For a subscription that is
// renewed with an expired token, SDKs get a new one only if the error is temporary.
func errorOfFailure(r request, f gateway.Failure) *wire.Error {
	e := errorOf(r, f.Code, f.Message)
	switch {
	case f.Reason.Is(gateway.TokenExpired):
		e.Code, e.Temporary = errTokenExpired, r == ofSubRefresh
	case f.Reason.Is(gateway.Missed):
		e.Code = errUnrecoverable
	}
	return e
}

// errorOf returns the wire error for the failure of a request.
func errorOf(r request, code gateway.Code, message string) *wire.Error {
	e := &wire.Error{Code: errorCode(r, code), Message: utf8Of(message)}
	e.Temporary = e.Code == errInternal || e.Code == errTooManyRequests
	return e
}

func errorCode(r request, code gateway.Code) uint32 {
	switch code {
	case gateway.BadRequest:
		return errBadRequest
	case gateway.Unauthenticated:
		return errUnauthorized
	case gateway.Forbidden:
		return errPermission
	case gateway.NotFound:
		return whatIsMissing(r)
	case gateway.TooLarge, gateway.LimitExceeded:
		return errLimit
	case gateway.RateLimited:
		return errTooManyRequests
	}
	return errInternal
}

func whatIsMissing(r request) uint32 {
	switch r {
	case ofRPC:
		return errMethodNotFound
	case ofPresence, ofPresenceStats, ofHistory, ofHistoryReverse, ofHistoryPosition:
		return errNotAvailable
	}
	return errUnknownChannel
}

// unsubscribeCode returns a code that tells the client whether to subscribe again.
func unsubscribeCode(e gateway.Unsubscribed) uint32 {
	if e.Expired {
		return unsubscribedExpired
	}
	switch e.Code {
	case gateway.Unavailable, gateway.Internal, gateway.RateLimited:
		return unsubscribedForNow
	}
	return unsubscribedByServer
}

// utf8Of returns s with invalid UTF-8 replaced, as Protobuf requires of a string.
func utf8Of(s string) string { return strings.ToValidUTF8(s, "\ufffd") }
