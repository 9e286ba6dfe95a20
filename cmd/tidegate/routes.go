package main

import (
	"fmt"
	"net/http"
	"net/http/pprof"

	"tidegate/gateway/console"
)

// publicRoutes is what clients see.
func (n *node) publicRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", console.Handler())
	n.routeHealth(mux)
	return trustProxies(n.config.TrustedProxies, mux)
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
