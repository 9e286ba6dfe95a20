package transport

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"tidegate/gateway"
	"tidegate/gateway/rules"
)

// Origins are the origins of pages that may use a gateway, as patterns such as
// https://app.example.com, https://*.example.com or *, in which * stands for any run of
// characters. A page of the same origin always may, and so may a request without an
// Origin, which does not come from a browser.
type Origins []string

// Check returns nil if the request's origin is allowed, else a Forbidden that
// names the setting.
func (o Origins) Check(r *http.Request) error {
	origin := r.Header.Get("Origin")
	if origin == "" || o.name(r, origin) || slices.Contains(o, everyOrigin) {
		return nil
	}
	return &gateway.Error{
		Code:    gateway.Forbidden,
		Message: fmt.Sprintf("the origin %.200q is not allowed: add it to the setting origins", origin),
	}
}

const everyOrigin = "*"

// name reports whether an origin is the request's own, or matches a pattern other than
// everyOrigin.
func (o Origins) name(r *http.Request, origin string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return false
	}
	if isSameOrigin(r, u) {
		return true
	}
	plain := strings.ToLower(u.Scheme + "://" + u.Host)
	return slices.ContainsFunc(o, func(pattern string) bool {
		return pattern != everyOrigin && rules.Matches(strings.ToLower(pattern), plain)
	})
}

// isSameOrigin reports whether a page comes from the request's own host. If the request
// has come by https, a page of http does not count: anybody on the way could have
// written it. A proxy that ends TLS says so in X-Forwarded-Proto. It does not matter
// who has set that header, since it can only make the check of its own sender stricter.
// Where nobody says so, a page of https is let in, since there may be a proxy.
func isSameOrigin(r *http.Request, origin *url.URL) bool {
	if !strings.EqualFold(origin.Host, r.Host) {
		return false
	}
	return origin.Scheme == "https" || origin.Scheme == "http" && !IsSecure(r)
}

// IsSecure reports whether a request has come over TLS: to the gateway itself or, as
// X-Forwarded-Proto says, to the balancer before it. A client can forge that header.
func IsSecure(r *http.Request) bool {
	forwarded, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	return r.TLS != nil || strings.EqualFold(strings.TrimSpace(forwarded), "https")
}
