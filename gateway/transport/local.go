package transport

import (
	"net"
	"net/http"
	"slices"
	"strings"

	"tidegate/gateway"
)

// Local refuses requests whose Host is not localhost, 127.0.0.1 or [::1]. Otherwise a page
// could make its own host name resolve to this machine (DNS rebinding) and so be of the same
// origin. Local lets HTTP/1.0 requests without a Host pass, such as a load balancer's check:
// they do not come from a page.
func Local(next http.Handler) http.Handler {
	return guard(next, func(r *http.Request) error {
		nameless := r.Host == "" && !r.ProtoAtLeast(1, 1)
		if nameless || slices.Contains(localNames, hostOf(r.Host)) {
			return nil
		}
		return fail(gateway.Forbidden, "in development only requests to localhost, 127.0.0.1 and [::1] are answered, and this one is to %.100q: to answer others, configure rules (tidegate init)", r.Host)
	})
}

var localNames = []string{"localhost", "127.0.0.1", "::1"}

// hostOf returns the name in a Host header in lower case, without port and brackets.
func hostOf(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.Trim(host, "[]"))
}
