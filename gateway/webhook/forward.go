package webhook

import (
	"context"
	"net/http"
)

type headersKey struct{}

// Forward returns a handler that puts the named headers of each request into the request's
// context and calls next. Ask copies them from its context into the question. A backend
// that identifies its users by a cookie needs this. Cookies of requests for which
// mayUseCookies is false are left out.
func Forward(names []string, mayUseCookies func(*http.Request) bool, next http.Handler) http.Handler {
	if len(names) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		headers := make(map[string][]string)
		for _, name := range names {
			name = http.CanonicalHeaderKey(name)
			if values := r.Header.Values(name); len(values) > 0 && (name != "Cookie" || mayUseCookies(r)) {
				headers[name] = values
			}
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), headersKey{}, headers)))
	})
}

func headersOf(ctx context.Context) map[string][]string {
	headers, _ := ctx.Value(headersKey{}).(map[string][]string)
	return headers
}
