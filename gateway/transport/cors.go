package transport

import (
	"net/http"
	"strings"
)

// CORS lets pages of other origins use a handler; see https://fetch.spec.whatwg.org,
// HTTP extensions.
type CORS struct {
	Origins Origins
	Headers []string // that pages may send, beside those that the gateway reads
}

const (
	corsMethods = "GET, HEAD, POST, DELETE"
	corsHeaders = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID"
	corsMaxAge  = "600" // seconds that a browser may remember a preflight
)

// Handler answers preflights itself, and refuses every request from an origin that is
// not allowed with 403. Pages may send cookies if their origin matches a pattern other
// than *, as they may over WebSocket.
func (c CORS) Handler(next http.Handler) http.Handler {
	headers := strings.Join(append([]string{corsHeaders}, c.Headers...), ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Add("Vary", "Origin")
		if err := c.Origins.Check(r); err != nil {
			LeaveUnread(w)
			Refuse(w, err)
			return
		}
		if origin := r.Header.Get("Origin"); origin != "" {
			header.Set("Access-Control-Allow-Origin", origin)
			header.Set("Access-Control-Expose-Headers", "Retry-After")
			if c.Origins.name(r, origin) {
				header.Set("Access-Control-Allow-Credentials", "true")
			}
		}
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			header.Set("Access-Control-Allow-Methods", corsMethods)
			header.Set("Access-Control-Allow-Headers", headers)
			header.Set("Access-Control-Max-Age", corsMaxAge)
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// SameSite refuses requests that a page of another site makes, whether its reader has
// clicked anything or not. Browsers tell where a request comes from
// (https://www.w3.org/TR/fetch-metadata/); older ones send at least an Origin.
func SameSite(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		site := r.Header.Get("Sec-Fetch-Site")
		err := Origins(nil).Check(r)
		if err == nil && site != "" && site != "same-origin" && site != "none" {
			err = forbidden("a page of another site may not use this address")
		}
		if err != nil {
			LeaveUnread(w)
			Refuse(w, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}
