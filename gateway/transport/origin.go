package transport

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"tidegate/gateway"
	"tidegate/gateway/rules"
)

// Origins are the origins of pages that may use a gateway, as patterns such as
// https://app.example.com, https://*.example.com or *, in which * stands for any
// run of characters. A page of the same host as the request's may always; so may
// a request without an Origin, which is no browser's.
type Origins []string

// Check returns nil if the request's origin is allowed, else a Forbidden that
// names the setting.
func (o Origins) Check(r *http.Request) error {
	origin := r.Header.Get("Origin")
	if origin == "" || o.allow(origin, r.Host) {
		return nil
	}
	return &gateway.Error{
		Code:    gateway.Forbidden,
		Message: fmt.Sprintf("the origin %.200q is not allowed: add it to the setting origins", origin),
	}
}

func (o Origins) allow(origin, host string) bool {
	u, err := url.Parse(origin)
	if err != nil {
		return false
	}
	if u.Host != "" && strings.EqualFold(u.Host, host) {
		return true
	}
	plain := strings.ToLower(u.Scheme + "://" + u.Host)
	for _, pattern := range o {
		if pattern == "*" || u.Host != "" && rules.Matches(strings.ToLower(pattern), plain) {
			return true
		}
	}
	return false
}

// The headers of a cross-origin answer; see https://fetch.spec.whatwg.org, HTTP
// extensions.
const (
	corsMethods = "GET, HEAD, POST, DELETE"
	corsHeaders = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID"
	corsMaxAge  = "600" // seconds that a browser may remember a preflight
)

// CORS lets pages of these origins use next. It answers preflights itself, and
// refuses every request from another origin with 403.
func (o Origins) CORS(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Add("Vary", "Origin")
		if err := o.Check(r); err != nil {
			Refuse(w, err)
			return
		}
		if origin := r.Header.Get("Origin"); origin != "" {
			header.Set("Access-Control-Allow-Origin", origin)
		}
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			header.Set("Access-Control-Allow-Methods", corsMethods)
			header.Set("Access-Control-Allow-Headers", corsHeaders)
			header.Set("Access-Control-Max-Age", corsMaxAge)
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}
