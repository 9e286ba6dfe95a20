package pusher

import (
	"unicode/utf8"

	"tidegate/gateway"
)

// Protocol is what the clients of one app speak: version 7 of Pusher Channels, of which
// versions 5 and 6 are a part. Two are equal if they are of the same app.
// Without an app it only says goodbye.
type Protocol struct{ app *app }

var _ gateway.Protocol = Protocol{}

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

// Name returns "pusher".
func (Protocol) Name() string { return "pusher" }

// Decode reads one event of a client's.
func (p Protocol) Decode(frame gateway.Frame) ([]gateway.Command, error) {
	settings := p.app.settings.Load()
	switch {
	case settings == nil:
		return nil, gateway.Disconnected.With("the app is gone")
	case frame.Binary:
		return nil, gateway.Unsupported
	case !utf8.Valid(frame.Data):
		return nil, gateway.InvalidData
	}
	if command := p.decode(frame.Data, settings); command != nil {
		return []gateway.Command{command}, nil
	}
	return nil, nil
}

// Encode writes one event. What Pusher's clients have no word for, and must know, ends
// the session: they come back, and begin anew.
func (p Protocol) Encode(event gateway.Event) (gateway.Frame, error) {
	if e, refused := event.(gateway.Goodbye); refused {
		code, text := p.Farewell(e.Reason)
		return gateway.Frame{Data: failed(code, text)}, nil
	}
	if p.app.settings.Load() == nil {
		return gateway.Frame{}, gateway.Disconnected.With("the app is gone")
	}
	data, err := p.encode(event)
	return gateway.Frame{Data: data, Others: true}, err
}

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
