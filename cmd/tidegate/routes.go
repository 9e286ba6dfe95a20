package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/pprof"

	"tidegate/gateway"
	"tidegate/gateway/api"
	"tidegate/gateway/console"
	"tidegate/gateway/native"
	"tidegate/gateway/pusher"
	"tidegate/gateway/raw"
	"tidegate/gateway/transport"
	"tidegate/gateway/webhook"
	"tidegate/gateway/websocket"
)

// publicRoutes returns the handler of the public listener.
func (n *node) publicRoutes() http.Handler {
	origins := transport.Origins(n.config.AllOrigins())
	cors := transport.CORS{Origins: origins, Headers: n.config.CORSHeaders}
	n.webSocket = &websocket.Server{
		Gateway: n.gateway, Origins: origins, Log: n.log,
		Deflate: n.config.Compression.Deflate(),
		Engine:  n.config.WebSocket.Engine,
	}

	mux := http.NewServeMux()
	n.routes = mux
	mux.Handle("/ws", n.webSocket.Handler(greetNative, native.Subprotocol))
	mux.Handle("/raw/{channel}", n.webSocket.Handler(greetRaw))
	n.routeCentrifuge(mux, cors)
	mux.Handle("/events", cors.Handler(transport.Stream(&transport.SSE{Gateway: n.gateway, Native: native.Protocol{}})))
	mux.Handle("/poll", cors.Handler(transport.Stream(&transport.LongPoll{Gateway: n.gateway, Native: native.Protocol{}})))
	mux.Handle("/api/", cors.Handler(n.api()))
	n.routeCentrifugeAPI(mux)
	for _, path := range pusher.Paths {
		mux.Handle(path, n.webSocket.Handler(n.apps.Greet))
	}
	n.xhr.Route(mux, cors.Handler)
	mux.Handle("/apps/", n.pusherAPI())
	if n.config.Development() {
		mux.Handle("/dev", n.workbench().Handler())
		mux.Handle("/dev/", n.workbench().Handler())
	}
	mux.Handle("/", console.Handler())
	health := http.NewServeMux()
	n.routeHealth(health, plainReason)
	mux.Handle("/healthz", cors.Handler(health))
	mux.Handle("/readyz", cors.Handler(health))
	return n.strict(trustProxies(n.config.TrustedProxies, webhook.Forward(n.config.Webhooks.Headers, origins.Name, mux)))
}

// internalRoutes returns the handler of the internal listener. It hides the command line,
// which pprof can show, because a flag may hold a secret.
func (n *node) internalRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", n.metrics.Handler())
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.Handle("GET /debug/pprof/profile", transport.Stream(http.HandlerFunc(pprof.Profile)))
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	mux.Handle("GET /debug/pprof/trace", transport.Stream(http.HandlerFunc(pprof.Trace)))
	mux.HandleFunc("GET /debug/pprof/cmdline", http.NotFound)
	mux.Handle("/api/", n.api())
	n.routeCentrifugeAPI(mux)
	mux.Handle("/apps/", n.pusherAPI())
	n.routeHealth(mux, error.Error)
	return n.strict(transport.SameSite(mux))
}

// strict refuses inconsistent requests and, in development, those that do not address this
// machine by name.
func (n *node) strict(next http.Handler) http.Handler {
	if n.config.Development() {
		next = transport.Local(next)
	}
	return transport.Strict(next)
}

// routeHealth adds the health checks. reason formats why the node is not ready.
func (n *node) routeHealth(mux *http.ServeMux, reason func(error) string) {
	read := func(path string, serve http.HandlerFunc) {
		mux.Handle(path, transport.Only(serve, http.MethodGet, http.MethodHead))
	}
	read("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	read("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if err := n.gateway.Ready(); err != nil {
			http.Error(w, "not ready: "+reason(err), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
}

// plainReason is for the public: it reveals nothing about the systems behind the node.
func plainReason(err error) string {
	if errors.Is(err, gateway.ErrBrokerAway) {
		err = gateway.ErrBrokerAway
	}
	return err.Error()
}

func (n *node) api() http.Handler {
	prefix := ""
	if n.config.Redis.URL != "" {
		prefix = n.config.Redis.Prefix
	}
	return api.New(api.Config{
		Gateway:     n.gateway,
		NoAnonymous: !n.config.Auth.Anonymous,
		Anonymous:   n.config.Anonymous(),
		Log:         n.log,
		Audit:       api.Audit(n.config.Log.Audit),
		Version:     versionName(),
		Prefix:      prefix,
	})
}

func (n *node) pusherAPI() http.Handler { return pusher.NewAPI(n.gateway, &n.apps, n.log) }

func greetNative(*http.Request) (gateway.Hello, error) {
	return gateway.Hello{Protocol: native.Protocol{}, AuthLater: true}, nil
}

// greetRaw subscribes the session to the channel in the path.
func greetRaw(r *http.Request) (gateway.Hello, error) {
	query := r.URL.Query()
	recent, err := transport.RecentOf(r)
	return gateway.Hello{
		Protocol: raw.Protocol{IgnoreGaps: query.Get("gap") == "ignore"},
		Channel:  r.PathValue("channel"),
		Commands: []gateway.Command{gateway.Subscribe{Cursor: query.Get("cursor"), Recent: recent}},
	}, err
}
