package main

import (
	"fmt"
	"net/http"
	"net/http/pprof"
	"time"

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
	mux.Handle("GET /ws", n.webSocket.Handler(greetNative, native.Subprotocol))
	mux.Handle("GET /raw/{channel}", n.webSocket.Handler(greetRaw))
	for _, method := range []string{"GET ", "OPTIONS "} {
		mux.Handle(method+"/events", origins.CORS(&transport.SSE{Gateway: n.gateway, Native: native.Protocol{}}))
		mux.Handle(method+"/poll", origins.CORS(&transport.LongPoll{Gateway: n.gateway, Native: native.Protocol{}}))
	}
	mux.Handle("/api/", origins.CORS(prompt(n.api())))
	mux.Handle("/", console.Handler())
	n.routeHealth(mux)
	return trustProxies(n.config.TrustedProxies, webhook.Forward(n.config.Webhooks.Headers, mux))
}

// internalRoutes is what operators see. The command line, which pprof can show,
// is left out: a flag may hold a secret.
func (n *node) internalRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", n.metrics.Handler())
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/cmdline", http.NotFound)
	mux.Handle("/api/", prompt(n.api()))
	n.routeHealth(mux)
	return mux
}

func (n *node) routeHealth(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
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

// prompt ends requests whose body does not arrive, or whose answer does not
// leave, in time.
func prompt(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connection := http.NewResponseController(w)
		deadline := time.Now().Add(bodyTimeout)
		_ = connection.SetReadDeadline(deadline) // net/http's own connections can do it
		_ = connection.SetWriteDeadline(deadline)
		next.ServeHTTP(w, r)
		_ = connection.SetWriteDeadline(time.Time{}) // or the connection's next request would inherit it
	})
}

const bodyTimeout = 30 * time.Second
