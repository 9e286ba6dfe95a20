package transport

import (
	"net/http"
	"strings"

	"tidegate/gateway"
)

// CORS lets pages of other origins use a handler: see "HTTP extensions" in
// https://fetch.spec.whatwg.org.
type CORS struct {
	Origins Origins
	Headers []string // request headers that pages may send, besides those the gateway reads
}

const (
	corsMethods = "GET, HEAD, POST, DELETE"
	corsHeaders = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID"
	corsMaxAge  = "600" // seconds that a browser may remember a preflight
)

// Handler wraps next. It answers preflight requests itself, and answers requests from
// origins that are not allowed with 403. As over WebSocket, pages may send cookies if they
// are of the request's own origin or if theirs matches a pattern other than *.
func (c CORS) Handler(next http.Handler) http.Handler {
	headers := strings.Join(append([]string{corsHeaders}, c.Headers...), ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Add("Vary", "Origin")
		if err := c.Origins.Check(r); err != nil {
			LeaveUnread(w, r)
			Refuse(w, err)
			return
		}
		if origin := r.Header.Get("Origin"); origin != "" {
			header.Set("Access-Control-Allow-Origin", origin)
			header.Set("Access-Control-Expose-Headers", "Retry-After")
			if c.Origins.Name(r) {
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

// SameSite refuses requests that come from pages of other sites, including those that
// follow a click. Browsers say where a request comes from in Sec-Fetch-Site
// (https://www.w3.org/TR/fetch-metadata/); older ones send at least an Origin.
func SameSite(next http.Handler) http.Handler {
	return guard(next, func(r *http.Request) error {
		site := r.Header.Get("Sec-Fetch-Site")
		if site != "" && site != "same-origin" && site != "none" {
			return fail(gateway.Forbidden, "a page of another site may not use this address")
		}
		return Origins(nil).Check(r)
	})
}

// guard refuses requests for which check returns an error, without reading their bodies.
func guard(next http.Handler, check func(*http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := check(r); err != nil {
			LeaveUnread(w, r)
			Refuse(w, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}
