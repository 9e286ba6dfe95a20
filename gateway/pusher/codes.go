package pusher

import (
	"errors"
	"fmt"

	"tidegate/gateway"
)

// The codes with which a connection is closed, or refused, and what clients do then.
const (
	wantsTLS      = 4000 // they do not come back, or only over TLS
	noApp         = 4001
	disabled      = 4003
	overQuota     = 4004
	wrongPath     = 4005
	wrongVersion  = 4006
	oldProtocol   = 4007
	noProtocol    = 4008
	unauthorized  = 4009
	overCapacity  = 4100 // they come back a little later
	comeBack      = 4200 // they come back at once
	noPong        = 4201
	inactive      = 4202
	tooFast       = 4301 // of an error alone: nothing is closed
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
	var e *gateway.Error
	return errors.As(err, &e) && e.Code == code
}
