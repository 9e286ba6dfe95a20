// Package api implements the HTTP API for backends, and for clients as far as the channel
// rules allow. openapi.yaml describes it; a test compares the two.
package api

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

var _ http.Handler = (*Handler)(nil)

// New returns a handler for paths that begin with /api/.
func New(c Config) *Handler {
	h := &Handler{config: c, gateway: c.Gateway, log: cmp.Or(c.Log, slog.New(slog.DiscardHandler)), mux: http.NewServeMux()}
	for pattern, serve := range h.routes() {
		h.mux.Handle(pattern, h.answer(serve))
	}
	h.mux.HandleFunc("/", h.refuseUnknown)
	h.mux.HandleFunc("GET /api/openapi.yaml", serveDescription)
	return h
}

// routes returns all routes except that of the description.
func (h *Handler) routes() map[string]endpoint {
	return map[string]endpoint{
		"POST /api/channels/{channel}/messages":   h.publish,
		"GET /api/channels/{channel}/messages":    limited(h, h.readHistory),
		"DELETE /api/channels/{channel}/messages": forBackends(h.clearHistory),
		"GET /api/channels/{channel}/presence":    limited(h, h.listMembers),
		"POST /api/messages":                      h.publishBatch,

		"GET /api/channels":                           forBackends(h.listChannels),
		"GET /api/users/{user}/sessions":              forBackends(h.listSessions),
		"DELETE /api/users/{user}/sessions":           forBackends(h.disconnect),
		"POST /api/users/{user}/channels/{channel}":   forBackends(h.subscribe),
		"DELETE /api/users/{user}/channels/{channel}": forBackends(h.unsubscribe),
		"GET /api/nodes":                              forBackends(h.listNodes),
		"GET /api/load":                               forBackends(h.load),
		"GET /api/probe":                              forBackends(h.probe),

		"POST /api/explain":                   forBackends(h.explain),
		"POST /api/channels/{channel}/traces": forBackends(h.trace),

		"GET /api/bans":                forBackends(h.denials("bans", true)),
		"POST /api/bans":               forBackends(h.ban),
		"DELETE /api/bans/{id}":        forBackends(h.lift),
		"GET /api/revocations":         forBackends(h.denials("revocations", false)),
		"POST /api/revocations":        forBackends(h.revoke),
		"DELETE /api/revocations/{id}": forBackends(h.lift),
	}
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

//go:embed openapi.yaml
var description []byte

func serveDescription(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("ETag", fmt.Sprintf("%q", versionOfDescription))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(description))
}

var versionOfDescription = fmt.Sprintf("%x", sha256.Sum256(description))[:16]
