package pusher

import (
	"tidegate/gateway"
)

// Protocol is what the clients of one app speak: version 7 of Pusher Channels, of which
// versions 5 and 6 are a part. Two are equal if they are of the same app.
// Without an app it only says goodbye.
type Protocol struct{ app *app }

var _ gateway.Protocol = Protocol{}

// Name returns "pusher".
func (Protocol) Name() string { return "pusher" }

// Farewell closes with the codes that tell clients whether to come back, and when.
func (Protocol) Farewell(r gateway.Reason) (code int, text string) {
	switch {
	case r.Is(gateway.Left):
		return normalClosure, r.Text
	case r.Is(gateway.Draining), r.Is(gateway.Missed):
		return comeBack, r.Text
	case r.Is(gateway.TimedOut):
		return noPong, r.Text
	case r.Is(gateway.Lost):
		return inactive, r.Text
	case r.Is(gateway.NotAuthentic), r.Is(gateway.TokenExpired), r.Is(gateway.Disconnected), r.Is(gateway.Policy):
		return unauthorized, r.Text
	case r.Is(gateway.SlowConsumer), r.Is(gateway.Failed), r.Is(gateway.NotConfirmed), r.Is(gateway.Overloaded):
		return overCapacity, r.Text
	}
	return r.Code, r.Text // of Greet, or of RFC 6455
}
