package webhook

import (
	"net/http"
	"slices"

	"tidegate/gateway"
)

// Forward returns a handler that calls next with the named headers of each request in the
// request's context, for the questions: see gateway.WithHeaders. A backend that identifies its
// users by a cookie needs this. Cookies of requests for which mayUseCookies is false are left
// out.
func Forward(names []string, mayUseCookies func(*http.Request) bool, next http.Handler) http.Handler {
	if len(names) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		headers := make(map[string][]string)
		for _, name := range names {
			name = http.CanonicalHeaderKey(name)
			if values := r.Header.Values(name); len(values) > 0 && (name != "Cookie" || mayUseCookies(r)) {
				headers[name] = slices.Clone(values) // not the array of all headers of the request
			}
		}
		if len(headers) > 0 {
			r = r.WithContext(gateway.WithHeaders(r.Context(), headers))
		}
		next.ServeHTTP(w, r)
	})
}
