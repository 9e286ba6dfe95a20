package pusher

import (
	"errors"
	"fmt"

	"tidegate/gateway"
)

// Codes of closed or refused connections, and how clients react to them.
const (
	wantsTLS      = 4000 // they do not reconnect, or only over TLS
	noApp         = 4001
	disabled      = 4003
	overQuota     = 4004
	wrongPath     = 4005
	wrongVersion  = 4006
	oldProtocol   = 4007
	noProtocol    = 4008
	unauthorized  = 4009
	overCapacity  = 4100 // they reconnect after a short delay
	comeBack      = 4200 // they reconnect immediately
	noPong        = 4201
	inactive      = 4202
	tooFast       = 4301 // only an error: the connection is not closed
	normalClosure = 1000
)

func refusedWith(code int, text string) gateway.Reason {
	reason := gateway.Refused.With(text)
	reason.Code = code
	return reason
}

func fail(code gateway.Code, format string, args ...any) error {
	return &gateway.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

func notFound(text string) error { return fail(gateway.NotFound, "%s", text) }

func is(err error, code gateway.Code) bool {
	e, ok := errors.AsType[*gateway.Error](err)
	return ok && e.Code == code
}
