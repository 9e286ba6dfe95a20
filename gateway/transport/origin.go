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
// https://app.example.com, https://*.example.com or *, in which * stands for any
// run of characters. A page of the same origin may always, and a request without an
// Origin, which is no browser's.
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

// name reports whether an origin is the request's own, or one of those that are
// meant by more than everyOrigin.
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

// isSameOrigin reports whether a page is of the request's own host, and not of http
// where the request is known to have come by https: anybody on the way could have
// written such a page. A proxy that ends TLS says so in X-Forwarded-Proto. From
// whom that comes does not matter, as it can only make the sender's own check
// stricter. Where nobody says so, a page of https is let in, since a proxy may.
func isSameOrigin(r *http.Request, origin *url.URL) bool {
	if !strings.EqualFold(origin.Host, r.Host) {
		return false
	}
	return origin.Scheme == "https" || origin.Scheme == "http" && !IsSecure(r)
}

// IsSecure reports whether a request has come over TLS: to the gateway, or, as that
// says, to the balancer before it. A client can claim it.
func IsSecure(r *http.Request) bool {
	forwarded, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	return r.TLS != nil || strings.EqualFold(strings.TrimSpace(forwarded), "https")
}
