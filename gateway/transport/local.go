package transport

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
)

// Local refuses requests that are not addressed to this machine by one of its own
// names: a page can make a name of its own resolve to it (DNS rebinding), and would
// then be of the same origin. A request that names no host, such as a balancer's check
// in HTTP/1.0, does not come from a page.
func Local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		nameless := r.Host == "" && !r.ProtoAtLeast(1, 1)
		if !nameless && !slices.Contains(localNames, hostOf(r.Host)) {
			LeaveUnread(w)
			Refuse(w, forbidden(fmt.Sprintf("in development only requests to localhost, 127.0.0.1 and [::1] are answered, and this one is to %.100q", r.Host)))
			return
		}
		next.ServeHTTP(w, r)
	})
}

var localNames = []string{"localhost", "127.0.0.1", "::1"}

// hostOf returns a Host's name without its port.
func hostOf(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.Trim(host, "[]"))
}
