package transport

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"tidegate/gateway"
	"tidegate/gateway/rules"
)

// Origins lists the origins of pages that may use a gateway, as patterns such as
// https://app.example.com, https://*.example.com or *. A * matches any sequence of
// characters. Pages of the same origin are always allowed, and so are requests without an
// Origin, which do not come from a browser.
type Origins []string

// Check returns nil if the request's origin is allowed, else an error with the code
// Forbidden that says what to change.
func (o Origins) Check(r *http.Request) error {
	if o.admits(r) || slices.Contains(o, everyOrigin) {
		return nil
	}
	origin, advice := r.Header.Get("Origin"), "add it to the setting origins"
	if _, host, _ := strings.Cut(origin, "://"); host == "" {
		advice = "it is that of a file, or of a sandbox: serve the page over http"
	}
	return fail(gateway.Forbidden, "the origin %.200q is not allowed: %s", origin, advice)
}

const everyOrigin = "*"

// Name reports whether the browser's cookies may say who the client is. A page that only *
// admits could otherwise act as whoever reads it, as could one of another site by a request
// without an Origin, such as that for an image.
func (o Origins) Name(r *http.Request) bool {
	return o.admits(r) && (r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "cross-site")
}

// admits reports whether a request has no Origin, or one that is the request's own or matches
// a pattern other than *.
func (o Origins) admits(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
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

// isSameOrigin reports whether a page comes from the request's own host. If the request came
// over https, a page from http does not count: anybody on the network path could have
// written it. A proxy that terminates TLS sets X-Forwarded-Proto. A client may forge that
// header, but makes the check of its own request only stricter. A page from https always
// counts, because there may be a proxy that does not set the header.
func isSameOrigin(r *http.Request, origin *url.URL) bool {
	if !strings.EqualFold(origin.Host, r.Host) {
		return false
	}
	return origin.Scheme == "https" || origin.Scheme == "http" && !IsSecure(r)
}

// IsSecure reports whether a request came over TLS, either to the gateway itself or,
// according to X-Forwarded-Proto, to a load balancer. A client can forge that header.
func IsSecure(r *http.Request) bool {
	forwarded, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	return r.TLS != nil || strings.EqualFold(strings.TrimSpace(forwarded), "https")
}
