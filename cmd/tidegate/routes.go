package main

import (
	"fmt"
	"net/http"
	"net/http/pprof"

	"tidegate/gateway"
	"tidegate/gateway/api"
	"tidegate/gateway/console"
	"tidegate/gateway/native"
	"tidegate/gateway/raw"
	"tidegate/gateway/transport"
	"tidegate/gateway/webhook"
)

// publicRoutes is what clients see.
func (n *node) publicRoutes() http.Handler {
	origins := transport.Origins(n.config.AllOrigins())
	n.webSocket = &transport.WebSocket{Gateway: n.gateway, Origins: origins, Log: n.log, Deflate: n.config.Compression.Deflate()}

	mux := http.NewServeMux()
	mux.Handle("/ws", transport.Stream(n.webSocket.Handler(greetNative, native.Subprotocol)))
	mux.Handle("/raw/{channel}", transport.Stream(n.webSocket.Handler(greetRaw)))
	mux.Handle("/events", origins.CORS(transport.Stream(&transport.SSE{Gateway: n.gateway, Native: native.Protocol{}})))
	mux.Handle("/poll", origins.CORS(transport.Stream(&transport.LongPoll{Gateway: n.gateway, Native: native.Protocol{}})))
	mux.Handle("/api/", origins.CORS(n.api()))
	mux.Handle("/", console.Handler())
	n.routeHealth(mux)
	return trustProxies(n.config.TrustedProxies, webhook.Forward(n.config.Webhooks.Headers, transport.Strict(mux)))
}

// internalRoutes is what operators see. The command line, which pprof can show,
// is left out: a flag may hold a secret.
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
	n.routeHealth(mux)
	return transport.Strict(mux)
}

func (n *node) routeHealth(mux *http.ServeMux) {
	read := func(path string, serve http.HandlerFunc) {
		mux.Handle(path, transport.Only(serve, http.MethodGet, http.MethodHead))
	}
	read("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	read("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if err := n.gateway.Ready(); err != nil {
			http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
}

func (n *node) api() http.Handler {
	return api.New(api.Config{
		Gateway:     n.gateway,
		NoAnonymous: !n.config.Auth.Anonymous,
		Anonymous:   n.config.Anonymous(),
		Log:         n.log,
	})
}

func greetNative(*http.Request) (gateway.Hello, error) {
	return gateway.Hello{Protocol: native.Protocol{}, AuthLater: true}, nil
}

// greetRaw subscribes the session to the channel of the path.
func greetRaw(r *http.Request) (gateway.Hello, error) {
	query := r.URL.Query()
	return gateway.Hello{
		Protocol: raw.Protocol{IgnoreGaps: query.Get("gap") == "ignore"},
		Channel:  r.PathValue("channel"),
		Commands: []gateway.Command{gateway.Subscribe{Cursor: query.Get("cursor")}},
	}, nil
}
