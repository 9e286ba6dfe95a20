package pusher

import (
	"net/http"
	"strconv"

	"tidegate/gateway"
	"tidegate/gateway/transport"
)

const (
	oldestProtocol = 5
	newestProtocol = 7
)

// Paths lists the URL patterns under which Greet expects clients.
var Paths = []string{"/app/{key}", "/app/{key}/{rest...}"}

// Greet returns the Hello for a client that connects to
// /app/KEY?protocol=7&client=js&version=8.6.0. It is a websocket.Greet. A refusal is sent to
// the client in the protocol.
func (all *Apps) Greet(r *http.Request) (gateway.Hello, error) {
	app, _, refusal := all.admit(r.PathValue("key"), r)
	if refusal != nil {
		return gateway.Hello{Protocol: Protocol{app}, TellRefusal: true}, refusal
	}
	return app.hello(Protocol{app}, newSocketID()), nil
}

// hello returns the Hello of a session that speaks p, a protocol of this app.
func (a *app) hello(p gateway.Protocol, socket string) gateway.Hello {
	return gateway.Hello{
		Protocol: p, Session: socket, Gate: gate{a}, Room: a,
		AuthLater: true, TellRefusal: true, Publishes: clientEventsPerSecond, Patient: true,
	}
}

// clientEventsPerSecond is the maximum rate of client events per connection.
const clientEventsPerSecond = 10

// admit returns the app with the given key and its settings. An error says why the
// connection is refused; the app is then nil only if no app has the key.
func (all *Apps) admit(key string, r *http.Request) (*app, *App, error) {
	query := r.URL.Query()
	app, settings := all.byKey(key)
	protocol, err := strconv.Atoi(query.Get("protocol"))
	switch {
	case r.PathValue("rest") != "":
		return app, nil, refusedWith(wrongPath, "the path is not /app/KEY")
	case app == nil:
		return nil, nil, refusedWith(noApp, "there is no app with this key")
	case settings.Disabled:
		return app, nil, refusedWith(disabled, "the app is disabled")
	case settings.TLSOnly && !transport.IsSecure(r):
		return app, nil, refusedWith(wantsTLS, "the app's clients must come over TLS")
	case query.Get("protocol") == "":
		return app, nil, refusedWith(noProtocol, "the protocol is missing: want protocol=7")
	case err != nil || protocol < oldestProtocol || protocol > newestProtocol:
		return app, nil, refusedWith(oldProtocol, "the protocol is not spoken here: want protocol=7")
	case !isVersion(query.Get("version")):
		return app, nil, refusedWith(wrongVersion, "the version is none: want one such as 8.6.0")
	}
	return app, settings, nil
}

// isVersion reports whether a library's version is missing or begins with a digit.
func isVersion(version string) bool {
	return version == "" || '0' <= version[0] && version[0] <= '9'
}
