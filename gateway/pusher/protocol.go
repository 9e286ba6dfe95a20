package pusher

import (
	"tidegate/gateway"
)

// Protocol implements the protocol of one app's clients: version 7 of Pusher Channels, which
// includes versions 5 and 6. Protocols of the same app are equal. Without an app, a Protocol
// can only refuse a connection.
type Protocol struct{ app *app }

var _ gateway.Protocol = Protocol{}

// Name returns "pusher".
func (Protocol) Name() string { return "pusher" }

// Farewell returns the close code that tells clients whether and when to reconnect.
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
	return r.Code, r.Text // a code from Greet or RFC 6455
}
